"""The asyncio shell, the only async code that waits. ``_sync`` has the same files, classes and methods."""

import nupic_client._grpc  # noqa: F401 - must come before grpc, see there
