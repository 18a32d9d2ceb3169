"""The blocking shell: the only sync code that waits. ``_async`` has the same files, classes and methods."""
