"""What things cost: timings of the parts, each measured beside its alternative."""
