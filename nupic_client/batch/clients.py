"""The clients of a run: for the model of the run and for those that lines name, for texts and for vectors."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nupic_client import InferenceClient, StreamingClient

__all__ = ["Clients"]


@dataclass(slots=True, kw_only=True, eq=False)
class Clients:
    """Finds the client for a model, and makes it where the caller gives none. Those are closed with ``stack``.

    Args:
        stack: closes them.
        model: of the run.
        client: for its texts.
        given: whether the caller gives that client; others cannot be made like it then.
        embedding_client: for vectors, of the caller.
        make_client: makes a client for the texts of another model.
        make_embedding_client: makes a client for the vectors of a model.
        connection: url and formatter of those that are made here.
    """

    stack: contextlib.ExitStack
    model: str
    client: StreamingClient
    given: bool
    embedding_client: InferenceClient | None
    make_client: Callable[[str], StreamingClient] | None
    make_embedding_client: Callable[[str], InferenceClient] | None
    connection: dict[str, Any]
    _own_vectors: InferenceClient | None = None

    def owns(self, model: str) -> bool:
        """Return whether a name in a line, or "", means the model of the run."""
        spec = self.client.model
        return model in {"", self.model, spec.name, spec.server_name}

    def text(self, model: str) -> StreamingClient | None:
        """Return the client for the texts of a model, or None if there is none.

        Args:
            model: its name in a line, or "".

        Raises:
            NupicError: the name is none of a model.
        """
        if self.owns(model):
            return self.client
        if self.make_client is not None:
            return self.stack.enter_context(self.make_client(model))
        if self.given:
            return None
        return self.stack.enter_context(StreamingClient(model, **self.connection))

    def vectors(self, model: str) -> InferenceClient | None:
        """Return the client for the vectors of a model, or None if there is none.

        Args:
            model: its name in a line, or "".

        Raises:
            NupicError: the name is none of a model.
        """
        given = self.embedding_client
        if given is not None and model in {"", given.model.name, given.model.server_name}:
            return given
        own = self.owns(model)
        if own and self._own_vectors is not None:
            return self._own_vectors
        name = self.model if own else model
        if self.make_embedding_client is not None:
            client = self.make_embedding_client(name)
        elif self.given:
            return None
        else:
            client = InferenceClient(name, self.connection["url"])
        self.stack.enter_context(client)
        if own:
            self._own_vectors = client
        return client
