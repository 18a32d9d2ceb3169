"""The blocking shell, the only sync code that waits. ``_async`` has the same files, classes and methods."""

import nupic_client._grpc  # noqa: F401 - must come before grpc, see there
