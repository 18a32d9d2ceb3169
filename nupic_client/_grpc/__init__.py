"""The parts of gRPC that the sync and the async shell share: channels, calls, statuses, endings.

This package is imported before grpc, whose C core reads the variable below once. By default the core writes a line to stderr
whenever a server goes away. Our callers get a typed error instead, and a library prints nothing. A value of the user's is
kept.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
