"""The blocking shell, the only sync code that waits. ``_async`` is its twin, method by method."""

import nupic_client._grpc  # noqa: F401 - must come before grpc, see there
