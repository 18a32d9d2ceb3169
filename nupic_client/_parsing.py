"""`parse`: an answer as a Python value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, overload

from typing_extensions import Unpack

from nupic_client._option_signatures import named_options
from nupic_client.errors import ConfigurationError, OutputError
from nupic_client.messages import MessageLike
from nupic_client.options import GenerateOptions
from nupic_client.response_format import Choice, Grammar, Regex, ResponseFormat
from nupic_client.results import Generation

__all__ = ["AsyncParsing", "Parsing"]

T = TypeVar("T")


@named_options
class Parsing:
    """The blocking method of clients that generate texts."""

    def generate(self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]) -> Generation:
        """Generate a text, see the clients."""
        raise NotImplementedError

    @overload
    def parse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: type[T],
        /,
        **options: Unpack[GenerateOptions],
    ) -> T: ...
    @overload
    def parse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: Regex | Choice | Grammar,
        /,
        **options: Unpack[GenerateOptions],
    ) -> str: ...
    @overload
    def parse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: ResponseFormat,
        /,
        **options: Unpack[GenerateOptions],
    ) -> Any: ...
    def parse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: ResponseFormat,
        /,
        **options: Unpack[GenerateOptions],
    ) -> Any:
        """Generate an answer of a given form and return its value. Blocks; thread-safe.

        Args:
            prompt: as for `generate`. It should say what the answer is to contain: the model does not see the form.
            response_format: a Python type (a dataclass, a TypedDict, a pydantic model, an enum, ``list[int]``, …), a JSON
                Schema, ``"json"`` for any JSON object, `Regex`, `Choice` or `Grammar`.
            **options: as for `generate`.

        Returns:
            A value of the type; for a JSON Schema and ``"json"`` what ``json.loads`` gives, otherwise the text. It is
            ``generate(…).parsed``.

        Raises:
            ConfigurationError: as for `generate`; or there is no schema for the type, the schema has what cannot be checked,
                or the server cannot enforce the form and ``enforce="validate"`` is not given.
            OutputError: the answer does not have the form, was cut at ``max_tokens``, or is a call of a tool; the error has
                the text.
            PromptError: as for `generate`.
            RequestError: as for `generate`.
            TypeError: an option does not exist.

        Example:
            .. code-block:: python

                @dataclass
                class City:
                    name: str
                    inhabitants: int

                city = client.parse([user("Tell me about Paris.")], City)
        """
        return _value(self.generate(prompt, **_with_form(options, response_format)))


@named_options
class AsyncParsing:
    """The async method of clients that generate texts."""

    async def agenerate(
        self, prompt: str | Iterable[MessageLike], **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Generate a text, see the clients."""
        raise NotImplementedError

    @overload
    async def aparse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: type[T],
        /,
        **options: Unpack[GenerateOptions],
    ) -> T: ...
    @overload
    async def aparse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: Regex | Choice | Grammar,
        /,
        **options: Unpack[GenerateOptions],
    ) -> str: ...
    @overload
    async def aparse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: ResponseFormat,
        /,
        **options: Unpack[GenerateOptions],
    ) -> Any: ...
    async def aparse(
        self,
        prompt: str | Iterable[MessageLike],
        response_format: ResponseFormat,
        /,
        **options: Unpack[GenerateOptions],
    ) -> Any:
        """Generate an answer of a given form and return its value; the async twin of `parse`. Task-safe.

        Args:
            prompt: as for `parse`.
            response_format: as for `parse`.
            **options: as for `parse`.

        Returns:
            As `parse`.

        Raises:
            ConfigurationError: as for `parse`.
            OutputError: as for `parse`.
            PromptError: as for `parse`.
            RequestError: as for `parse`.
            TypeError: an option does not exist.
        """
        return _value(await self.agenerate(prompt, **_with_form(options, response_format)))


def _value(generation: Generation) -> Any:
    if generation.tool_calls:
        names = ", ".join(repr(call.name) for call in generation.tool_calls)
        raise OutputError(
            f"model {generation.model!r} called {names} instead of giving an answer: use generate, which returns the calls",
            text=generation.text,
            violations=(f"the answer is a call of {names}",),
            generation=generation,
        )
    return generation.parsed


def _with_form(options: GenerateOptions, response_format: ResponseFormat) -> GenerateOptions:
    if response_format is None:
        raise ConfigurationError(
            "response_format must be the form of the answer, not None: use generate for a text of any form",
            parameter="response_format",
        )
    return {**options, "response_format": response_format}
