"""The commands: each module's `main(words)` answers one, and raises `ConfigError` for a mistake in the words."""
