"""The meaning of an error for the servers, and which requests may do better on another one."""

from __future__ import annotations

from nupic_client._core.balance.meaning import Meaning, meaning_of
from nupic_client.errors import ConnectionFailedError


def test_a_refused_connection_speaks_against_the_server():
    assert meaning_of(ConnectionFailedError("cannot reach the server")) is Meaning.SERVER_OUT
