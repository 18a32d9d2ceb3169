"""The models of the plugin, for ``llm.get_model``, ``llm.get_async_model`` and ``llm.get_embedding_model``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import llm

from nupic_client.integrations.llm.conversion import events_of, to_events, to_messages, to_tools
from nupic_client.integrations.llm.listing import token
from nupic_client.integrations.llm.options import Options, client_options, generate_options

if TYPE_CHECKING:
    from nupic_client import StreamingClient

__all__ = ["AsyncNupicModel", "NupicEmbeddingModel", "NupicModel"]


class _Nupic:
    """What all of them share.

    Args:
        name: of the model, in the registry or on the server.
    """

    needs_key = None

    def __init__(self, name: str) -> None:
        self.model_id = f"nupic/{name}"
        self._name = name

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the bearer token, if there is one: most servers want none."""
        return (llm.get_key(explicit_key) if explicit_key else None) or token()


class _TextModel(_Nupic):
    can_stream = True
    supports_schema = True
    supports_tools = True
    attachment_types = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})

    def _client(self, prompt: Any, key: str | None) -> StreamingClient:
        from nupic_client import StreamingClient  # noqa: PLC0415 - with gRPC, which takes time

        return StreamingClient(self._name, bearer_token=key, **client_options(prompt.options))

    def _options(self, prompt: Any) -> dict[str, Any]:
        options = generate_options(prompt.options)
        if prompt.schema:
            options["response_format"] = prompt.schema
        tools = to_tools(prompt.tools)
        if tools:
            options["tools"] = tools
        if (
            prompt.messages[-1:]
            and prompt.messages[-1].role == "tool"
            and options.get("tool_choice") != "none"
        ):
            options.pop(
                "tool_choice", None
            )  # a forced call is for the first answer only: else the host would call for ever
        return options


class NupicModel(_TextModel, llm.KeyModel):
    """A model that generates text.

    Args:
        name: of the model, in the registry or on the server.

    Example:
        .. code-block:: python

            import llm

            model = llm.get_model("nupic/smollm2")
            print(model.prompt("Why is the sky blue?", max_tokens=100).text())
    """

    Options = Options

    def execute(
        self,
        prompt: Any,
        stream: bool,  # noqa: FBT001 - the host's
        response: Any,
        conversation: Any = None,  # noqa: ARG002 - its messages are in the prompt
        key: str | None = None,
    ) -> Iterator[Any]:
        """Yield the events of an answer. Closing the iterator cancels the generation on the server.

        Args:
            prompt: the host's prompt.
            stream: whether the events are to come one by one.
            response: the host's response, which is told usage and calls of tools.
            conversation: not used.
            key: the bearer token.
        """
        messages, options = to_messages(prompt), self._options(prompt)
        with self._client(prompt, key) as client:
            if not stream:
                for event in events_of(client.generate(messages, **options)):
                    yield from to_events(event, response)
                return
            with client.stream(messages, **options) as answer:
                for event in answer.events():
                    yield from to_events(event, response)


class AsyncNupicModel(_TextModel, llm.AsyncKeyModel):
    """The async twin of `NupicModel`.

    Args:
        name: of the model, in the registry or on the server.
    """

    Options = Options

    async def execute(
        self,
        prompt: Any,
        stream: bool,  # noqa: FBT001 - the host's
        response: Any,
        conversation: Any = None,  # noqa: ARG002 - its messages are in the prompt
        key: str | None = None,
    ) -> AsyncIterator[Any]:
        """Yield the events of an answer; the async twin of `NupicModel.execute`.

        Args:
            prompt: as there.
            stream: as there.
            response: as there.
            conversation: as there.
            key: as there.
        """
        messages, options = to_messages(prompt), self._options(prompt)
        async with self._client(prompt, key) as client:
            if not stream:
                for event in events_of(await client.agenerate(messages, **options)):
                    for told in to_events(event, response):
                        yield told
                return
            async with client.astream(messages, **options) as answer:
                async for event in answer.events():
                    for told in to_events(event, response):
                        yield told


class NupicEmbeddingModel(_Nupic, llm.EmbeddingModel):
    """A model that turns texts into vectors, at ``$NUPIC_URL``.

    Args:
        name: of the model, in the registry or on the server.
    """

    supports_text = True
    supports_binary = False
    batch_size = 64

    def embed_batch(self, items: Iterable[str | bytes], *, key: str | None = None) -> Iterator[list[float]]:
        """Yield a vector for each text.

        Args:
            items: the texts.
            key: the bearer token.
        """
        from nupic_client import InferenceClient  # noqa: PLC0415 - with gRPC and numpy, which take time

        with InferenceClient(self._name, bearer_token=key) as client:
            yield from client.embed([str(item) for item in items]).tolist()
