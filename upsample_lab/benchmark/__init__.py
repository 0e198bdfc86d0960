"""Measurements of speed: each suite is a module with `run(arguments) -> Table`, listed in `scripts/benchmark.py`."""
