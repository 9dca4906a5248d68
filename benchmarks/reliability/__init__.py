"""What becomes of fits that are killed, stopped, fed with damaged files or poisoned: counts, not times.

    python -m benchmarks.reliability                 every row in full, results to benchmarks/results/reliability.json
    python -m benchmarks.reliability kills --short   one row, in its short form, which the tests run too

Every row is a file of its own, `python -m benchmarks.reliability.kills`, that prints one line of JSON and exits with 1
where the goal is missed.
"""
