"""`ChatNupic`: the chat model for LangChain and LangGraph."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, model_validator
from typing_extensions import Self

from nupic_client import ImagePart, OutputError, StreamingClient, user
from nupic_client.integrations.langchain.chat_call import ChatCall
from nupic_client.integrations.langchain.errors import langchain_errors
from nupic_client.integrations.langchain.messages import conversation, read_tool_choice, tool_names
from nupic_client.integrations.langchain.settings import OPTIONS, TextModel, renders
from nupic_client.integrations.langchain.structured import Method, structured_model

__all__ = ["ChatNupic"]

_OPTIONS = (*OPTIONS, "reasoning", "template_variables", "enforce", "output_retries")


class ChatNupic(TextModel, BaseChatModel):
    """A chat model of LangChain on a NuPIC or Triton server.

    All four ways to ask it, sync and async, are those of the client: nothing runs in threads that LangChain would start
    for an async call, and leaving a stream or cancelling a task cancels the generation on the server. Text comes token by
    token also while tools are bound, and so do the arguments of calls.

    Fields are the options of `StreamingClient` and `GenerateOptions`; those of a call, given to ``invoke`` or ``bind``, go
    before them, ``model`` too. What an answer has besides its text and calls is in ``response_metadata``: ``model_name``,
    ``finish_reason``, ``request_id``, ``endpoint``, ``attempts``, ``time_to_first_token``, ``tokens_per_second`` and
    more; reasoning is in ``additional_kwargs["reasoning_content"]`` and among ``content_blocks``. ``usage_metadata`` is
    None where the server does not count.

    Args:
        model: a friendly name of the registry or the server's own name of a model; also ``model_name``.
        url: the server's gRPC address, or a list of several; also ``base_url``. Default: ``$NUPIC_URL``, else
            ``localhost:8001``.
        token: the bearer token; also ``api_key``. Default: ``$NUPIC_TOKEN``.
        formatter: how conversations become prompts. Default: the model's.
        timeout: seconds for a call, or all its deadlines as `Timeouts`.
        enforce: ``"validate"`` for servers that cannot enforce a form of answers.
        client_options: further arguments of the client, such as ``balancing`` or ``observer``.

    Raises:
        ValueError: a field is wrong, as pydantic's ``ValidationError``. Nothing is sent by the constructor.

    Example:
        .. code-block:: python

            from nupic_client.integrations.langchain import ChatNupic

            model = ChatNupic(model="smollm2", url="localhost:8001", max_tokens=100)
            for chunk in model.stream("Why is the sky blue?"):
                print(chunk.text, end="", flush=True)
    """

    reasoning: Literal["separate", "include"] | None = None
    """Where the model's reasoning goes, see `GenerateOptions`."""
    template_variables: Mapping[str, Any] | None = None
    """Variables of the model's chat template, such as ``{"enable_thinking": False}``."""
    enforce: Literal["server", "validate"] | None = None
    """Who sees to the form of an answer and to forced calls, see `GenerateOptions`."""
    output_retries: int | None = None
    """How often ``invoke`` asks again with ``enforce="validate"``."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Make the client, which checks its arguments and connects to nothing."""
        self._connect().with_options(**self._options(_OPTIONS, None, {}))
        return self

    # --- what LangChain asks for

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - a whole answer has no tokens to tell
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        while True:
            with langchain_errors():
                try:
                    message = call.message(call.client.generate(call.prompt, **call.options))
                except OutputError as error:
                    message = call.message(call.failed(error), error)
            if message is not None:
                return _result(message)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - a whole answer has no tokens to tell
        **kwargs: Any,
    ) -> ChatResult:
        call = self._call(messages, stop, kwargs)
        while True:
            with langchain_errors():
                try:
                    message = call.message(await call.client.agenerate(call.prompt, **call.options))
                except OutputError as error:
                    message = call.message(call.failed(error), error)
            if message is not None:
                return _result(message)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        with langchain_errors():
            while True:
                for chunk in _chunks(call):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
                if not call.again:
                    return

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        call = self._call(messages, stop, kwargs)
        with langchain_errors():
            while True:
                async with call.client.astream(call.prompt, **call.options) as stream:
                    events = stream.events()
                    try:
                        async for event in events:
                            for chunk in call.read(event):
                                if run_manager is not None:
                                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                                yield chunk
                    except OutputError as error:
                        for chunk in call.ended(call.failed(error), error):
                            yield chunk
                if not call.again:
                    return

    @property
    def _llm_type(self) -> str:
        return "nupic-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that changes an answer: the key of a cache."""
        return self._identity(_OPTIONS)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        options = self._options(_OPTIONS, stop, kwargs)
        params = LangSmithParams(
            ls_provider="nupic", ls_model_name=kwargs.get("model") or self.model, ls_model_type="chat"
        )
        if isinstance(options.get("temperature"), (int, float)):
            params["ls_temperature"] = options["temperature"]
        if isinstance(options.get("max_tokens"), int):
            params["ls_max_tokens"] = options["max_tokens"]
        if options.get("stop"):
            stops = options["stop"]
            params["ls_stop"] = [stops] if isinstance(stops, str) else list(stops)
        return params

    def _resolve_model_profile(self) -> Any:
        """Say what the model's family can do; ``create_agent`` goes by it."""
        client: StreamingClient = self._connect()
        formatter = client.formatter
        answer = None if formatter is None else formatter.answer
        calls = answer is not None and answer.has_tool_calls
        profile: dict[str, Any] = {
            "text_inputs": True,
            "image_inputs": renders(formatter, user(["What is it?", _IMAGE])),
            "text_outputs": True,
            "tool_calling": calls,
            "tool_choice": calls,
            "tool_call_streaming": calls,
            "structured_output": True,
            "reasoning_output": formatter is not None and formatter.reasons,
            "temperature": True,
        }
        if client.model.context_length is not None:
            profile["max_input_tokens"] = client.model.context_length
        return profile

    # --- tools and forms

    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools that it may call.

        Args:
            tools: what LangChain calls tools: functions, classes of pydantic, `BaseTool` objects, mappings.
            tool_choice: ``"auto"``, ``"none"``, ``"any"`` or ``"required"``, or the name of a tool that must be called,
                which the server enforces.
            strict: as LangChain's conversion of tools takes it.
            parallel_tool_calls: False tells only the first call of an answer.
            **kwargs: further options of the call, ``response_format`` too: then the answer is a call, or has the form.

        Raises:
            ConfigurationError: a tool or the choice is wrong.
        """
        written = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        names = tool_names(written)
        bound = {"tools": written, **kwargs}
        if tool_choice is not None:
            bound["tool_choice"] = read_tool_choice(tool_choice, names)
        if parallel_tool_calls is not None:
            bound["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**bound)

    def with_structured_output(
        self,
        schema: Mapping[str, Any] | type,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return the model with answers of a given form, which the server enforces.

        Args:
            schema: a pydantic class, a TypedDict or a JSON Schema.
            method: ``"json_schema"`` enforces the schema, ``"json_mode"`` only JSON, ``"function_calling"`` forces a call of
                a tool with this schema.
            include_raw: return a mapping in place of the value: the message (``raw``), the value (``parsed``) and the
                error (``parsing_error``).
            strict: as LangChain's conversion of schemas takes it.
            **kwargs: further options of the call.

        Raises:
            ValueError: there is no such method, or the schema is none.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, strict=strict, **kwargs)
        return structured_model(self, schema, method=method, include_raw=include_raw, strict=strict, **kwargs)

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text with the tokenizer of ``client_options={"tokenizer": …}``.

        Raises:
            ConfigurationError: there is none. LangChain would count with another model's.
        """
        return int(self._connect().count_tokens(text))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        """Count the tokens of the prompt that a conversation becomes; as `get_num_tokens`."""
        more = {"tools": [convert_to_openai_tool(tool) for tool in tools]} if tools else {}
        return int(self._connect().count_tokens(conversation(messages), **more))

    def _call(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> ChatCall:
        """Return what to ask: a call's own options are put over those of the model."""
        client: StreamingClient = self._connect(kwargs.get("model"))
        options = self._options(_OPTIONS, stop, kwargs)
        if options.get("tools"):
            options["tools"] = written = [*map(convert_to_openai_tool, options["tools"])]
            options["tool_choice"] = read_tool_choice(options.get("tool_choice"), tool_names(written))
        prompt = conversation(messages, alternating=self._alternates(client.formatter))
        return ChatCall(client, prompt, options, one_call=kwargs.get("parallel_tool_calls") is False)


_IMAGE = ImagePart("https://example.org/image.png")


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunks(call: ChatCall) -> Iterator[ChatGenerationChunk]:
    """Yield the chunks of one request; dropping the iterator cancels it on the server."""
    with call.client.stream(call.prompt, **call.options) as stream:
        try:
            for event in stream.events():
                yield from call.read(event)
        except OutputError as error:
            yield from call.ended(call.failed(error), error)
