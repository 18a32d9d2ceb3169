"""The one place that states the version."""

import sys

__version__ = "0.1.0"

USER_AGENT = f"nupic-client/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"
"""How the clients introduce themselves to a server."""
