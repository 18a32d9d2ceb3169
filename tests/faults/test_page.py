"""The page of the docs says what the tests hold the client to."""

from __future__ import annotations

from faults.all_rows import ALL_ROWS
from faults.table import rows_of_page, stable_cells


def test_the_page_has_the_rows_that_are_tested():
    assert rows_of_page() == [stable_cells(row) for row in ALL_ROWS], (
        "run pytest tests/faults --write-fault-table"
    )


def test_each_row_is_there_once():
    keys = [row.key for row in ALL_ROWS]
    assert len(keys) == len(set(keys))
