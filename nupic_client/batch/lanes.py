"""The lanes of a run: one for each model of texts or of vectors that lines name, begun with the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from nupic_client import InferenceClient, StreamingClient
from nupic_client.batch.clients import Clients
from nupic_client.batch.lane import EmbeddingLane, Finish, Lane, TextLane
from nupic_client.batch.row import Row, RowError, error_of
from nupic_client.errors import NupicError

__all__ = ["Lanes"]

MOST_MODELS = 16
"""Each model that lines name has a client with a connection of its own."""
_Client: TypeAlias = StreamingClient | InferenceClient


class Lanes:
    """The lanes.

    Args:
        clients: for their models.
        finish: called with the outcome of each row.
        start: called with a new lane, to run it.
        concurrency: number of requests at the same time, of each.
        options: of every generation.
    """

    def __init__(
        self,
        clients: Clients,
        finish: Finish,
        start: Callable[[Lane], object],
        *,
        concurrency: int,
        options: Mapping[str, Any],
    ) -> None:
        self._clients, self._finish, self._start = clients, finish, start
        self._concurrency, self._options = concurrency, options
        self._lanes: dict[_Client, Lane] = {}
        self._models: dict[tuple[str, bool], Lane | RowError] = {}
        self._others = 0

    def __len__(self) -> int:
        return len(self._lanes)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    @property
    def running(self) -> int:
        """Requests on their way."""
        return sum(lane.running for lane in self)

    def of(self, row: Row) -> Lane | RowError:
        """Return the lane of a row, or why there is none."""
        name = (row.model, row.embeds)
        lane = self._models.get(name)
        if lane is None:
            lane = self._new(*name)
            if isinstance(lane, Lane) or len(self._models) < 10 * MOST_MODELS:
                self._models[name] = lane
        return lane

    def _new(self, model: str, embeds: bool) -> Lane | RowError:  # noqa: FBT001 - of its only caller
        if not self._clients.owns(model) and self._others >= MOST_MODELS:
            return RowError(
                "too_many_models",
                f"a batch must have at most {MOST_MODELS} models, and {model!r} is one more",
            )
        try:
            client = self._clients.vectors(model) if embeds else self._clients.text(model)
        except NupicError as error:
            return error_of(error)
        if client is None:
            return self._without_client(
                model, self._clients.embedding_client if embeds else self._clients.client
            )
        if client not in self._lanes:
            lane = self._lanes[client] = self._lane(client, own=self._clients.owns(model))
            self._start(lane)
        return self._lanes[client]

    def _lane(self, client: _Client, *, own: bool) -> Lane:
        self._others += not own
        if isinstance(client, InferenceClient):
            return EmbeddingLane(
                client, self._finish, concurrency=self._concurrency, options=self._options, strict=own
            )
        return TextLane(
            client, self._finish, concurrency=self._concurrency, options=self._options, strict=own
        )

    def _without_client(self, model: str, given: _Client | None) -> RowError:
        if given is None:
            return RowError("wrong_model", "vectors must have a client, too: give embedding_client=")
        name = given.model.server_name
        return RowError("wrong_model", f"model must be {name!r}, which the client is for, not {model!r}")
