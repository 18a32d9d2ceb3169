"""Ids of requests and sequences."""

from __future__ import annotations

import os

__all__ = ["new_request_id", "new_sequence_id"]


def new_request_id() -> str:
    """Return an id that no other request has."""
    return os.urandom(16).hex()  # as random as a UUID, and the module uuid takes 5 ms to import


def new_sequence_id() -> int:
    """Return an id that no other sequence has: positive, and below 2**63, so that all types of the protocol hold it."""
    return int.from_bytes(os.urandom(8), "little") >> 1 or 1
