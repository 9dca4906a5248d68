"""Benchmarks: each is a command that writes a JSON file under `benchmarks/results`."""
