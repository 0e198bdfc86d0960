"""Measurements of speed: each suite is a module with `run(arguments) -> Table`, see `cli/commands/benchmark.py`."""
