"""An observer that keeps what it is told, and what the tests tell it."""

from __future__ import annotations

FACTS = {"model": "m", "target": "host:1", "request_id": "id"}
"""Of a request."""


class Later:
    """A place for functions that are called later: by `run`."""

    submitted: list[object]
    released = 0

    def __init__(self):
        type(self).submitted = []

    def submit(self, function):
        self.submitted.append(function)

    def release(self):
        type(self).released += 1


class Told:
    def __init__(self):
        self.starts = []
        self.ends = []

    def on_start(self, info):
        self.starts.append(info)
        return "kept"

    def on_end(self, info, outcome):
        self.ends.append((info, outcome))
