"""`python -m benchmarks`: see `benchmarks.throughput`."""

from benchmarks.throughput import main

if __name__ == "__main__":
    main()
