"""Many runs compared: collected, paired by seed, judged, and shown."""
