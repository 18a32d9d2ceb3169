"""Many prompts to one model: the generations to make of them. Nothing here waits; see `nupic_client._core.calls.bulk`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nupic_client._core.calls import flows
from nupic_client._core.calls.adaptive_limit import AdaptiveLimit
from nupic_client._core.calls.bulk import AWAIT_TURN, BulkPipeline, Job, MapSettings, ReadAnswer
from nupic_client._core.calls.options import check_request_id
from nupic_client._core.calls.retry import pause_before
from nupic_client._core.generation.opening import ask_model_observed, open_stream
from nupic_client._core.generation.session import GenerationSession
from nupic_client.errors import (
    ConfigurationError,
    OverloadedError,
    RequestError,
    StreamClosedError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from nupic_client._core.calls.models import ModelDirectory
    from nupic_client._core.calls.options import CallOptions
    from nupic_client._core.generation.request import GenerationRequest
    from nupic_client._core.generation.request_cache import RequestCache
    from nupic_client.results import Generation

__all__ = ["ItemSession", "PromptPipeline", "open_prompts", "split_item"]

MakeRequest = Callable[[Any, "CallOptions", "str | None"], "GenerationRequest"]
"""Makes the request of a prompt, with its options and its id, and validates the prompt."""
_MOST_OPTIONS = 64


class ItemOptions:
    """The options of prompts. Those that come again are validated once, and their requests can be made from one template.

    Args:
        defaults: what they are put over.
    """

    __slots__ = ("_known", "defaults")

    def __init__(self, defaults: CallOptions) -> None:
        self.defaults = defaults
        self._known: dict[Any, CallOptions] = {}

    def of(self, options: Mapping[str, Any]) -> CallOptions:
        """Return the options of a prompt, without its id.

        Raises:
            ConfigurationError: an option does not exist, or a value is wrong.
        """
        given = {name: value for name, value in options.items() if name != "request_id"}
        if not given:
            return self.defaults
        values = [tuple(value) if type(value) is list else value for value in given.values()]
        try:
            # The kind of a value counts too: 1 == True.
            key = (*given, *values, *map(type, given.values()))
            known = self._known.get(key)
        except TypeError:  # a mapping
            return self._override(given)
        if known is None:
            known = self._override(given)
            if len(self._known) >= _MOST_OPTIONS:
                self._known.clear()
            self._known[key] = known
        return known

    def _override(self, options: Any) -> CallOptions:
        try:
            return self.defaults.override(options)
        except TypeError as error:
            raise ConfigurationError(str(error)) from None


class ItemSession(GenerationSession):
    """The state of one generation of many; for a server without capacity it waits as long as its deadline allows."""

    __slots__ = ("_overloads",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._overloads = 0

    def sent(self, now: float) -> None:
        """Take in that another attempt begins only now: the deadline for its first response begins too."""
        self.deadlines.sent(now)

    def waits_for(self, error: RequestError) -> bool:
        """Return whether the server only lacks capacity for it, and the call allows retries."""
        return isinstance(error, OverloadedError) and error.retryable and self._options.retry.max_retries > 0

    @property
    def _tries(self) -> int:
        return super()._tries - self._overloads

    def _may_retry(self, error: RequestError) -> bool:
        if super()._may_retry(error):
            return True
        return self.running and not self.deadlines.responded and self.waits_for(error)

    def _pause(self, error: RequestError, now: float, jitter: float) -> float | None:
        if not self.waits_for(error):
            return super()._pause(error, now, jitter)
        self._overloads += 1
        return pause_before(
            self._options.retry, error, attempt=self._overloads, left=self.remaining(now), jitter=jitter
        )


class PromptPipeline(BulkPipeline["Generation"]):
    """The state of one ``map`` of prompts.

    A prompt that the server has no capacity for is tried again; meanwhile fewer run at the same time, see `AdaptiveLimit`.

    Args:
        settings: of the map.
        options: of all prompts.
        make_request: makes the request of each prompt.
        models: the client's knowledge of the server's models.
        cache: of the client.
    """

    awaits = ReadAnswer

    def __init__(
        self,
        settings: MapSettings,
        options: CallOptions,
        make_request: MakeRequest,
        models: ModelDirectory,
        cache: RequestCache,
    ) -> None:
        super().__init__(settings)
        self._options = ItemOptions(options)
        self._make_request = make_request
        self._models = models
        self._cache = cache
        self._limit = AdaptiveLimit(settings.concurrency)
        self._active = 0
        """How many jobs are not held back because the server is overloaded."""

    @property
    def wants_input(self) -> bool:
        """Whether there is room for another prompt and there may be one. Those that were refused come first."""
        window = self._window
        return not self._exhausted and window.has_room and window.running < self._limit.now

    @property
    def has_turn(self) -> bool:
        """Whether the first job that waits for its turn may go on."""
        return self._active < self._limit.now

    def feed(self, inputs: Any) -> list[Job]:
        """Take the next prompt and return the job to start now."""
        index = self._count
        self._count += 1
        return [Job(self._window.start((index,)), self._generate(inputs))]

    def _generate(self, item: Any) -> Generator[Any, Any, Generation]:
        self._active += 1
        try:
            request = self._request(item)
            session = yield from open_stream(request, self._models, self._cache, kind=ItemSession)
            assert isinstance(session, ItemSession)  # noqa: S101 - for type checkers
            try:
                yield from self._read(session)
            except Exception as error:
                session.given_up(error)
                raise
            return session.result()
        finally:
            self._active -= 1

    def _request(self, item: Any) -> GenerationRequest:
        prompt, options = split_item(item)
        return self._make_request(
            prompt, self._options.of(options), check_request_id(options.get("request_id"))
        )

    def _read(self, session: ItemSession) -> Generator[Any, Any, None]:
        """Send the request until it is answered."""
        rounds = self._limit.rounds
        while True:
            try:
                yield ReadAnswer(session)
            except StreamClosedError:
                message = "the client was closed before the answer came"
                raise TransportError(
                    message, model=session.model, target=session.target, request_id=session.request_id
                ) from None
            except RequestError as error:
                overloaded = isinstance(error, OverloadedError)
                if overloaded:
                    self._limit.refused(rounds)
                if not session.running:
                    raise
                now: float = yield flows.READ_CLOCK
                jitter: float = yield flows.DrawJitter()
                pause = flows.Sleep(session.retry(error, now, jitter))
                yield from self._wait_for_turn(session, pause) if overloaded else (pause,)
                rounds = self._limit.rounds
            else:
                self._limit.answered()
                return

    def _wait_for_turn(self, session: ItemSession, pause: flows.Sleep) -> Generator[Any, Any, None]:
        self._active -= 1
        try:
            yield pause
            yield AWAIT_TURN
        finally:
            self._active += 1
        now: float = yield flows.READ_CLOCK
        session.sent(now)


def open_prompts(
    settings: MapSettings,
    options: CallOptions,
    make_request: MakeRequest,
    models: ModelDirectory,
    cache: RequestCache,
) -> flows.Flow[PromptPipeline]:
    """Find the model and make the pipeline to it; arguments as of `PromptPipeline`.

    Raises:
        ConfigurationError: the model does not stream.
        RequestError: the server does not have it, or could not be asked.
    """
    request = make_request("", options, None)
    _, signature = models.known(request.model, request.options)
    if signature is None or not signature.decoupled:
        yield from ask_model_observed(request, models)
    return PromptPipeline(settings, options, make_request, models, cache)


def split_item(item: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return the prompt of an item and its options.

    A tuple of two is a prompt with its options if the second is a mapping that is no message: a message has ``role`` and
    ``content``, and no option is called so. Everything else is a prompt.

    Example:
        >>> split_item(("Hello", {"max_tokens": 5}))
        ('Hello', {'max_tokens': 5})
        >>> split_item(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}))[1]
        {}
    """
    if isinstance(item, tuple) and len(item) == 2:
        prompt, options = item
        if isinstance(options, Mapping) and not ("role" in options and "content" in options):
            return prompt, options
    return item, {}
