"""Outlier detectors on tables: jaxae's default beside PyOD's, and beside three controls that learn little or nothing.

    python -m benchmarks.detection                     everything; writes benchmarks/results/detection.json, and README
    python -m benchmarks.detection --seeds 1           a quick look; writes nothing

The tables are ADBench's where JAXAE_DATA names the folder that holds them, else scikit-learn's, of whose classes one
is normal. Every method has one default for all tables and sees the same rows; each runs in a process of its own. PyOD's
are left out where it is not installed (`pip install 'jaxae[detection]'`).

Two protocols. Clean: half of the normal rows train, the others and all anomalies test, scaled to mean 0 and variance 1.
Contaminated: 70 % of all rows train, as they are, and 30 % test, scaled to 0…1. Tables of less than 1,000 rows are
drawn with replacement to 1,000, and of more than 10,000 so many are drawn.
"""
