"""Many prompts: their requests, what is tried again and when, and how many run. The tests do what a shell does."""

from __future__ import annotations

import heapq
from collections import Counter
from itertools import count

import pytest
from core.replies import chunk, last

from nupic_client import Message, user
from nupic_client._core.calls import flows
from nupic_client._core.calls.bulk import NOTHING, AwaitTurn, MapSettings, ReadAnswer
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.bulk import (
    ItemOptions,
    ItemSession,
    PromptPipeline,
    open_prompts,
    split_item,
)
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    StreamClosedError,
    TransportError,
)
from nupic_client.registry import ModelSpec
from nupic_client.testing import text_signature
from nupic_client.timeouts import RetryPolicy

SIGNATURE = text_signature("llm")
FULL = "the server has no capacity for this now"


def make_request(prompt, options, request_id):
    if prompt == "bad":
        raise ConfigurationError("prompt must be good")
    return GenerationRequest(
        model=ModelSpec(name="llm"),
        prompt=prompt,
        options=options,
        request_id=request_id or "r1",
        target="host:8001",
        backend=PlainBackend(),
    )


def overloaded(**facts):
    return OverloadedError(FULL, retryable=True).with_facts(**facts)


class Shell:
    """A shell and a server. Time is counted in the answers that were read.

    Args:
        answer: returns, for a session, None for an answer or the error of the attempt, in the moment that it ends.
        settings: of the map.
    """

    def __init__(self, answer, options=None, **settings):
        defaults = CallOptions(signature=SIGNATURE).override(options or {})
        self.pipeline = PromptPipeline(
            MapSettings(**settings), defaults, make_request, ModelDirectory(), RequestCache()
        )
        self.answer = answer
        self.now = 0.0
        self.sent = Counter()
        self.running = []
        self.sleeping = []
        self.most = []
        """For each moment how many streams ran."""

    def advance(self, job, reply=None, error=None):
        try:
            while True:
                command = job.flow.send(reply) if error is None else job.flow.throw(error)
                reply = error = None
                if isinstance(command, flows.ReadClock):
                    reply = self.now
                elif isinstance(command, flows.DrawJitter):
                    reply = 0.5
                elif isinstance(command, flows.Sleep):
                    heapq.heappush(self.sleeping, (self.now + command.seconds, job.number, job))
                    return
                elif isinstance(command, AwaitTurn):
                    self.pipeline.waiting.append(job)
                    return
                else:
                    assert isinstance(command, ReadAnswer)
                    self.sent[command.session.request.prompt] += 1
                    self.running.append((job, command.session))
                    return
        except StopIteration as stop:
            self.pipeline.finish(job, stop.value)
        except Exception as failure:
            self.pipeline.finish(job, failure)

    def end_one(self):
        job, session = self.running.pop(0)
        error = self.answer(session)
        if error is None:
            for response in (chunk(session.request.prompt), last()):
                session.receive(response, self.now)
            session.ended(self.now)
        else:
            error = session.broken(error, self.now)
        self.advance(job, error=error)

    def run(self, prompts):
        prompts = iter(prompts)
        found = []
        while not self.pipeline.finished:
            while self.pipeline.waiting and self.pipeline.has_turn:
                self.advance(self.pipeline.waiting.popleft())
            while self.pipeline.wants_input:
                item = next(prompts, NOTHING)
                for job in self.pipeline.end() if item is NOTHING else self.pipeline.feed(item):
                    self.advance(job)
            self.most.append(len(self.running))
            if self.running:
                self.now += 0.1
                self.end_one()
            elif self.sleeping:
                self.now = max(self.now, self.sleeping[0][0])
            while self.sleeping and self.sleeping[0][0] <= self.now:
                self.advance(heapq.heappop(self.sleeping)[2])
            while (taken := self.pipeline.take()) is not NOTHING:
                found.append(taken)
        return found


def texts(found):
    return [each.text for each in found]


def prompts(number):
    return [f"p{n}" for n in range(number)]


def test_each_prompt_is_one_generation():
    shell = Shell(lambda session: None, concurrency=4)
    assert texts(shell.run(prompts(10))) == prompts(10)
    assert set(shell.sent.values()) == {1}
    assert max(shell.most) == 4


def test_a_server_with_less_capacity_gets_every_prompt_in_the_end_and_fewer_at_a_time():
    shell = None

    def answer(session):
        return overloaded() if len(shell.running) + 1 > 5 else None

    shell = Shell(answer, concurrency=64)
    assert texts(shell.run(prompts(600))) == prompts(600)
    assert shell.most[0] == 64
    late = shell.most[len(shell.most) // 2 :]
    assert max(late) <= 7  # it looks for more room one at a time
    assert sum(shell.sent.values()) < 600 * 1.5


def test_more_run_again_when_there_is_capacity_again():
    shell = Shell(None, concurrency=16)
    shell.answer = lambda session: overloaded() if sum(shell.sent.values()) < 60 else None
    assert texts(shell.run(prompts(400))) == prompts(400)
    assert min(shell.most[60:-20]) < 5
    assert max(shell.most[-100:]) == 16


def test_no_new_prompt_is_begun_while_as_many_as_may_run_wait_for_another_try():
    order = []

    def answer(session):
        order.append(session.request.prompt)
        return overloaded() if len(order) <= 4 else None

    shell = Shell(answer, concurrency=4)
    assert len(shell.run(prompts(8))) == 8
    assert set(order[4:6]) < {"p0", "p1", "p2", "p3"}


def test_an_overload_does_not_count_as_a_retry():
    tries = count(1)

    def answer(session):
        number = next(tries)
        return (
            overloaded()
            if number < 9
            else ConnectionFailedError("gone", retryable=True)
            if number < 11
            else None
        )

    shell = Shell(answer, {"timeout": None, "max_retries": 2})
    (found,) = shell.run(["p"])
    assert (found.text, len(found.attempts)) == ("p", 11)


def test_the_pauses_are_those_of_the_policy():
    shell = Shell(
        lambda session: overloaded() if session.attempt < 6 else None,
        {"max_retries": RetryPolicy(initial_backoff=1, max_backoff=4)},
    )
    shell.run(["p"])
    assert shell.now == pytest.approx(0.1 * 6 + 0.5 * (1 + 2 + 4 + 4 + 4))


def test_the_server_may_say_when_and_whether():
    times = []

    def answer(session):
        times.append(shell.now)
        return overloaded(retry_after=20.0 if len(times) == 1 else -1.0)

    shell = Shell(answer, errors="return")
    (error,) = shell.run(["p"])
    assert isinstance(error, OverloadedError)
    assert times == pytest.approx([0.1, 20.2])


@pytest.mark.parametrize(
    ("options", "error", "attempts"),
    [
        ({"max_retries": 0}, overloaded(), 1),
        ({"max_retries": 2, "timeout": 5}, overloaded(), None),
        ({"max_retries": 2}, OverloadedError("the message is too large"), 1),
        ({"max_retries": 2}, InferenceError("broken"), 1),
        ({"max_retries": 2}, ConnectionFailedError("gone", retryable=True), 3),
    ],
)
def test_what_is_not_tried_again_is_the_items_result(options, error, attempts):
    shell = Shell(lambda session: error, options, errors="return")
    (found,) = shell.run(["p"])
    assert type(found) is type(error)
    assert str(found).startswith("item 0: ")
    assert len(found.attempts) == (attempts or len(found.attempts))
    assert shell.now <= options.get("timeout", 600)


def test_an_overload_after_text_is_not_tried_again():
    def answer(session):
        session.receive(chunk("some"), 0.0)
        return overloaded()

    (found,) = Shell(answer, errors="return").run(["p"])
    assert (type(found), found.partial_text, len(found.attempts)) == (OverloadedError, "some", 1)


def test_a_turn_begins_the_wait_for_the_first_token():
    session = None

    def answer(made):
        nonlocal session
        session = made
        return overloaded() if shell.now < 1 else None

    shell = Shell(answer)
    shell.run(["p"])
    assert session.deadlines.sent_at == pytest.approx(shell.now - 0.1)


def test_a_bad_item_is_an_error_of_its_own():
    found = Shell(lambda session: None, errors="return").run(["a", "bad", ("b", {"max_token": 1}), "c"])
    assert [str(each)[:30] for each in found[1:3]] == [
        "item 1: prompt must be good",
        "item 2: there is no option 'ma",
    ]
    assert all(type(each) is ConfigurationError for each in found[1:3])
    assert texts([found[0], found[3]]) == ["a", "c"]


def test_a_fault_of_the_callers_own_code_is_no_item_error():
    def make(prompt, options, request_id):
        raise TypeError("a formatter that is wrong")

    pipeline = PromptPipeline(MapSettings(), CallOptions(), make, ModelDirectory(), RequestCache())
    with pytest.raises(TypeError, match="formatter"):
        next(pipeline.feed("p")[0].flow)


def test_a_client_that_was_closed_says_so():
    shell = Shell(None, errors="return")
    (job,) = shell.pipeline.feed("p")
    shell.advance(job)
    shell.advance(job, error=StreamClosedError("it was closed"))
    found = shell.pipeline.take()
    assert type(found) is TransportError
    assert "item 0: the client was closed before the answer came" in str(found)


def test_the_model_is_asked_for_once_before_the_first_prompt():
    flow = open_prompts(
        MapSettings(), CallOptions(signature=SIGNATURE), make_request, ModelDirectory(), RequestCache()
    )
    with pytest.raises(StopIteration) as stop:
        next(flow)
    assert isinstance(stop.value.value, PromptPipeline)

    flow = open_prompts(MapSettings(), CallOptions(), make_request, ModelDirectory(), RequestCache())
    command = flow.send(None)
    while not isinstance(command, flows.Invoke):
        command = flow.send(0.0)
    with pytest.raises(ModelUnavailableError):  # and not an error of an item
        flow.throw(ModelUnavailableError("no such model"))
        flow.send(0.0)


def test_options_that_come_again_are_validated_once():
    options = ItemOptions(CallOptions())
    assert options.of({}) is options.defaults
    assert options.of({"request_id": "mine"}) is options.defaults
    first = options.of({"max_tokens": 5, "stop": ["a", "b"]})
    assert options.of({"max_tokens": 5, "stop": ["a", "b"], "request_id": "mine"}) is first
    assert first.sampling.max_tokens == 5
    assert first.sampling.stop_strings == ("a", "b")
    assert options.of({"max_tokens": 5, "stop": ["a", "c"]}).sampling.stop_strings == ("a", "c")
    assert options.of({"stop": ["a", "b"], "max_tokens": 5}).sampling == first.sampling


def test_values_of_another_kind_are_not_the_same():
    options = ItemOptions(CallOptions())
    assert options.of({"logprobs": 1}).logprobs == 1
    assert options.of({"logprobs": True}).logprobs == 0
    assert options.of({"max_tokens": 5}).sampling.max_tokens == 5
    with pytest.raises(ConfigurationError, match="max_tokens"):
        options.of({"max_tokens": "5"})


def test_options_that_cannot_be_kept_and_any_number_of_them():
    options = ItemOptions(CallOptions())
    for value in range(200):
        assert options.of({"seed": value}).sampling.seed == value
        assert options.of({"metadata": {"n": str(value)}}).metadata == (("n", str(value)),)
    assert len(options._known) <= 64


@pytest.mark.parametrize("request_id", ["", 5])
def test_an_id_that_is_none_is_an_error_of_its_item(request_id):
    (found,) = Shell(lambda session: None, errors="return").run([("a", {"request_id": request_id})])
    assert "item 0: request_id must be a non-empty string" in str(found)


class Role(dict):
    """A mapping of another kind."""


PAIR = ("Hello", {"max_tokens": 5})


@pytest.mark.parametrize(
    ("item", "options"),
    [
        (PAIR, PAIR[1]),
        (("Hello", {}), {}),
        (("Hello", Role(seed=1)), {"seed": 1}),
        (([user("Hi")], {"seed": 1}), {"seed": 1}),
        (("Hello", {"role": "user"}), {"role": "user"}),  # no message: an unknown option
        ("Hello", None),
        ([*PAIR], None),
        ((user("Hi"), user("Ho")), None),
        (({"role": "user", "content": "Hi"}, Role(role="user", content="Ho")), None),
        (({"role": "user", "content": "Hi"}, {"role": "user", "content": "Ho", "name": "A"}), None),
        ((Message("user", "Hi"), Message("user", "Ho"), {}), None),
        (("a", "b"), None),
        (("a",), None),
        ((), None),
        (None, None),
    ],
)
def test_which_items_have_options(item, options):
    prompt, found = split_item(item)
    if options is None:
        assert (prompt, found) == (item, {})
        assert prompt is item
    else:
        assert prompt is item[0]
        assert found == options


def test_an_item_session_is_a_session():
    assert ItemSession.__slots__ == ("_overloads",)
