"""The asyncio shell, the only async code that waits. ``_sync`` is its twin, method by method."""

import nupic_client._grpc  # noqa: F401 - must come before grpc, see there
