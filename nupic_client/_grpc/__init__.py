"""What the sync and the async shell share of gRPC: channel arguments, credentials and the meaning of a status.

Imported before grpc is, because gRPC's C core reads the variable below only then: by default it writes a line to stderr
whenever a server goes away. The caller learns that from a typed error, and a library prints nothing. A value that is set
already is respected.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
