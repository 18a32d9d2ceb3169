"""`python -m nupic_client` is the command `nupic-client`."""

from __future__ import annotations

import sys

from nupic_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
