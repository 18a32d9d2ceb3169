"""All rows of the table, in the order of the page."""

from __future__ import annotations

from faults.network import SCENARIOS
from faults.servers import SERVER_ROWS

__all__ = ["ALL_ROWS"]

ALL_ROWS = (*SERVER_ROWS, *(scenario.row for scenario in SCENARIOS))
