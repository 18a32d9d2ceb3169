"""The texts for a prompt that is too long, and their numbers."""

from __future__ import annotations

import re

import pytest
from core.kserve.error_texts import TOO_LONG, UNKNOWN

from nupic_client._core.kserve.context_length import PATTERN, figures


@pytest.mark.parametrize(("text", "limit", "requested"), TOO_LONG)
def test_the_numbers_of_a_text(text, limit, requested):
    """U-A21."""
    assert re.search(PATTERN, text)
    assert figures(text) == (limit, requested)


def test_thousands_may_be_parted():
    assert figures("The input (691,793 tokens) is longer than the model's context length (540,000)") == (
        540000,
        691793,
    )


@pytest.mark.parametrize("text", UNKNOWN)
def test_other_texts_do_not_match(text):
    assert re.search(PATTERN, text) is None


def test_a_number_without_end_is_no_trouble():
    assert figures(f"the prompt has {'9' * 5000} tokens but the context of this server holds 5")[0] == 5
