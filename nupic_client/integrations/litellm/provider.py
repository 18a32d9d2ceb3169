"""`NupicProvider`: the custom provider of LiteLLM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from litellm import CustomLLM

from nupic_client import ConfigurationError, Finished, InferenceClient, OutputError, StreamingClient
from nupic_client.integrations.litellm.clients import Clients
from nupic_client.integrations.litellm.errors import translated
from nupic_client.integrations.litellm.parameters import (
    Parameters,
    read_embedding_parameters,
    read_parameters,
)
from nupic_client.integrations.litellm.responses import Chunks, cut_short, fill_embeddings, fill_response

__all__ = ["NupicProvider"]


class NupicProvider(CustomLLM):
    """Answers LiteLLM's calls for one provider name. Thread-safe, and safe in any number of event loops.

    LiteLLM calls its methods; `register` makes it known. The connection to each server stays open for the next call.

    Args:
        most_clients: how many clients are kept, one for each model, server and set of connection options. Beyond that, the
            one that was used least recently is closed after its last call.

    Example:
        .. code-block:: python

            register("triton", NupicProvider(most_clients=500))
            litellm.completion(model="triton/gpt", api_base="localhost:8001", messages=messages)
    """

    def __init__(self, most_clients: int = 64) -> None:
        super().__init__()
        if isinstance(most_clients, bool) or not isinstance(most_clients, int) or most_clients < 1:
            raise ConfigurationError(
                f"most_clients must be an integer >= 1, not {most_clients!r}", parameter="most_clients"
            )
        self._clients = Clients(most_clients)

    def close(self) -> None:
        """Close the connections and cancel the calls that run. Returns at once; later calls connect again."""
        self._clients.close()

    def completion(self, model: str, messages: Sequence[Any], model_response: Any, **call: Any) -> Any:
        """Answer ``litellm.completion``.

        Args:
            model: the name behind the ``/``.
            messages: the conversation.
            model_response: what is filled and returned.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read(model, call)
            with self._client(model, call, asked) as client:
                try:
                    generation = client.generate(messages, **asked.options)
                except OutputError as error:
                    generation = cut_short(error)
            return fill_response(model_response, generation, model)

    async def acompletion(self, model: str, messages: Sequence[Any], model_response: Any, **call: Any) -> Any:
        """Answer ``litellm.acompletion``; the async twin of `completion`.

        Args:
            model: the name behind the ``/``.
            messages: the conversation.
            model_response: what is filled and returned.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read(model, call)
            with self._client(model, call, asked) as client:
                try:
                    generation = await client.agenerate(messages, **asked.options)
                except OutputError as error:
                    generation = cut_short(error)
            return fill_response(model_response, generation, model)

    def streaming(self, model: str, messages: Sequence[Any], **call: Any) -> Iterator[Any]:
        """Answer ``litellm.completion(stream=True)``. Closing the iterator cancels the generation on the server.

        Args:
            model: the name behind the ``/``.
            messages: the conversation.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read(model, call)
            with (
                self._client(model, call, asked) as client,
                client.stream(messages, **asked.options) as stream,
            ):
                chunks = Chunks(model, stream.request_id)
                try:
                    for event in stream.events():
                        if isinstance(event, Finished):
                            yield chunks.last(event.generation)
                        elif (chunk := chunks.of(event)) is not None:
                            yield chunk
                except OutputError as error:
                    yield chunks.last(cut_short(error))

    async def astreaming(self, model: str, messages: Sequence[Any], **call: Any) -> AsyncIterator[Any]:
        """Answer ``litellm.acompletion(stream=True)``; the async twin of `streaming`.

        Args:
            model: the name behind the ``/``.
            messages: the conversation.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read(model, call)
            with self._client(model, call, asked) as client:
                async with client.astream(messages, **asked.options) as stream:
                    chunks = Chunks(model, stream.request_id)
                    try:
                        async for event in stream.events():
                            if isinstance(event, Finished):
                                yield chunks.last(event.generation)
                            elif (chunk := chunks.of(event)) is not None:
                                yield chunk
                    except OutputError as error:
                        yield chunks.last(cut_short(error))

    def embedding(self, model: str, input: Any, model_response: Any, **call: Any) -> Any:  # noqa: A002
        """Answer ``litellm.embedding``.

        Args:
            model: the name behind the ``/``.
            input: the texts, or a single one.
            model_response: what is filled and returned.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read_embedding(model, call)
            with self._clients.use(InferenceClient, model, call.get("api_base"), **asked.client) as client:
                vectors = client.embed(input, **asked.options)
            return fill_embeddings(model_response, vectors, model)

    async def aembedding(self, model: str, input: Any, model_response: Any, **call: Any) -> Any:  # noqa: A002
        """Answer ``litellm.aembedding``; the async twin of `embedding`.

        Args:
            model: the name behind the ``/``.
            input: the texts, or a single one.
            model_response: what is filled and returned.
            **call: LiteLLM's other arguments.
        """
        with translated(model, _provider(call)):
            asked = _read_embedding(model, call)
            with self._clients.use(InferenceClient, model, call.get("api_base"), **asked.client) as client:
                vectors = await client.aembed(input, **asked.options)
            return fill_embeddings(model_response, vectors, model)

    def _client(
        self, model: str, call: Mapping[str, Any], asked: Parameters
    ) -> AbstractContextManager[StreamingClient]:
        return self._clients.use(StreamingClient, model, call.get("api_base"), **asked.client)


def _provider(call: Mapping[str, Any]) -> str:
    return str((call.get("litellm_params") or {}).get("custom_llm_provider") or "nupic")


def _read(model: str, call: Mapping[str, Any]) -> Parameters:
    return read_parameters(
        call.get("optional_params") or {},
        model=model,
        provider=_provider(call),
        litellm_params=call.get("litellm_params"),
        timeout=call.get("timeout"),
        headers=call.get("headers"),
        api_key=call.get("api_key"),
    )


def _read_embedding(model: str, call: Mapping[str, Any]) -> Parameters:
    return read_embedding_parameters(
        call.get("optional_params") or {},
        model=model,
        provider=_provider(call),
        litellm_params=call.get("litellm_params"),
        timeout=call.get("timeout"),
        api_key=call.get("api_key"),
    )
