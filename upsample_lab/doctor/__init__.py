"""The doctor: find what checkers in anybody's model, see which layer does it, and cure it."""
