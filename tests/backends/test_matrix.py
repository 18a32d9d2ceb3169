from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from nupic_client.backends import BACKENDS, TensorBackend
from nupic_client.sampling import OPTION_NAMES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "backends" / "index.md"


@pytest.fixture(autouse=True)
def code_of_the_docs(monkeypatch):
    monkeypatch.syspath_prepend(DOCS)


def support_matrix(*backends):
    return importlib.import_module("support_matrix").support_matrix(*backends)


def support_table(*backends):
    return importlib.import_module("support_matrix").support_table(*backends)


def test_the_matrix_has_every_backend_and_every_option():
    matrix = support_matrix()
    assert {f"`{option}`" for option in OPTION_NAMES} < set(matrix)
    assert all(list(row) == [backend.name for backend in BACKENDS] for row in matrix.values())


def test_the_matrix_says_which_tensor_carries_an_option():
    matrix = support_matrix()
    assert matrix["`max_tokens`"]["trtllm_engine"] == "`request_output_len`"
    assert matrix["`seed`"]["trtllm"] == "`seed` or `random_seed`"
    assert matrix["`min_p`"]["trtllm"] == "-"
    assert matrix["`stop`"]["trtllm_engine"] == "client"
    assert matrix["finish reason"]["trtllm_llmapi"] == "`finish_reason`"


def test_the_page_shows_the_matrix_of_this_code():
    """To renew it, put the output of `support_table()` between the two comments."""
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("support_table(). -->\n")[2].partition("\n<!-- End of the table. -->")[0]
    assert table == support_table()


def test_an_own_backend_may_be_a_column():
    class Own(TensorBackend):
        name = "own"

    assert support_matrix([Own()])["prompt"] == {"own": "`text_input`"}
    assert support_table([]).startswith("|")
