"""Fuzzing: what a server, a file or a caller may hand in, and what must come of it. See docs/contributing.md."""
