"""`python -m nupic_client.cli` is `nupic-client`."""

from __future__ import annotations

import sys

from nupic_client.cli import main

sys.exit(main())
