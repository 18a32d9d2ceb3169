"""What the statuses of HTTP mean."""

from __future__ import annotations

import pytest

from nupic_client._core.kserve.http_statuses import HTTP_STATUSES, phrase
from nupic_client.errors import ConnectionFailedError, OverloadedError, RequestRejectedError


def test_those_that_may_pass_are_worth_another_try():
    assert {status for status, meaning in HTTP_STATUSES.items() if meaning.retryable} == {
        408,
        429,
        502,
        503,
        504,
    }


@pytest.mark.parametrize(
    ("status", "kind"), [(413, RequestRejectedError), (429, OverloadedError), (502, ConnectionFailedError)]
)
def test_classes(status, kind):
    """P-F15."""
    assert HTTP_STATUSES[status].error is kind


def test_the_phrase_of_a_status():
    assert (phrase(502), phrase(599)) == ("(Bad Gateway)", "")
