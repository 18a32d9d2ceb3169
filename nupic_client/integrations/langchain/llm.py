"""`NupicLLM`: a model for LangChain that continues a text."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.base import LangSmithParams
from langchain_core.outputs import Generation as TextGeneration
from langchain_core.outputs import GenerationChunk, LLMResult
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from nupic_client import Event, Finished, Generation, StreamingClient, TextDelta
from nupic_client.integrations.langchain.answers import answer_facts, usage_metadata
from nupic_client.integrations.langchain.errors import langchain_errors
from nupic_client.integrations.langchain.settings import OPTIONS, TextModel

__all__ = ["NupicLLM"]


class NupicLLM(TextModel, BaseLLM):
    """A text model of LangChain on a NuPIC or Triton server: prompts are sent as they are, without a chat template.

    Args:
        model: as for `ChatNupic`.
        url: as for `ChatNupic`.
        token: as for `ChatNupic`.
        concurrency: how many of the prompts of one ``batch`` or ``generate`` are generated at the same time.

    Raises:
        pydantic.ValidationError: a field is wrong. Nothing is sent by the constructor.

    Example:
        .. code-block:: python

            from nupic_client.integrations.langchain import NupicLLM

            model = NupicLLM(model="smollm2", url="localhost:8001", max_tokens=50)
            print(model.invoke("Once upon a time"))
    """

    concurrency: int = Field(default=32, ge=1)
    """How many prompts of one call are generated at the same time."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Make the client, which checks its arguments and connects to nothing."""
        self._connect().with_options(**self._options(OPTIONS, None, {}))
        return self

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - a whole answer has no tokens to tell
        **kwargs: Any,
    ) -> LLMResult:
        client, options = self._ask(stop, kwargs)
        with langchain_errors(), client.map(prompts, concurrency=self.concurrency, **options) as results:
            return _result(list(results))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - a whole answer has no tokens to tell
        **kwargs: Any,
    ) -> LLMResult:
        client, options = self._ask(stop, kwargs)
        with langchain_errors():
            async with client.amap(prompts, concurrency=self.concurrency, **options) as results:
                return _result([generation async for generation in results])

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        client, options = self._ask(stop, kwargs)
        with langchain_errors(), client.stream(prompt, **options) as stream:
            for chunk in filter(None, map(_chunk, stream.events())):
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        client, options = self._ask(stop, kwargs)
        with langchain_errors():
            async with client.astream(prompt, **options) as stream:
                async for event in stream.events():
                    chunk = _chunk(event)
                    if chunk is not None:
                        if run_manager is not None:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk

    @property
    def _llm_type(self) -> str:
        return "nupic"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that changes an answer: the key of a cache."""
        return self._identity(OPTIONS)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "nupic"
        return params

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text with the tokenizer of ``client_options={"tokenizer": …}``.

        Raises:
            ConfigurationError: there is none. LangChain would count with another model's.
        """
        return int(self._connect().count_tokens(text))

    def _ask(self, stop: list[str] | None, kwargs: dict[str, Any]) -> tuple[StreamingClient, dict[str, Any]]:
        return self._connect(kwargs.get("model")), self._options(OPTIONS, stop, kwargs)


def _result(generations: list[Generation]) -> LLMResult:
    texts = [[TextGeneration(text=each.text, generation_info=_facts(each))] for each in generations]
    return LLMResult(generations=texts)


def _facts(generation: Generation) -> dict[str, Any]:
    usage = usage_metadata(generation.usage)
    return answer_facts(generation) | ({} if usage is None else {"usage_metadata": dict(usage)})


def _chunk(event: Event) -> GenerationChunk | None:
    if isinstance(event, Finished):
        return GenerationChunk(text="", generation_info=_facts(event.generation))
    return GenerationChunk(text=event.text) if isinstance(event, TextDelta) else None
