"""What a run is and where it is, for who makes runs and for who compares them; imports no torch."""
