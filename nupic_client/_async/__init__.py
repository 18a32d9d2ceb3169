"""The asyncio shell: the only async code that waits. ``_sync`` has the same files, classes and methods."""
