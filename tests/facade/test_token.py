"""Bearer tokens: sent with every call, renewed once, never over a network in plain text, never shown."""

from __future__ import annotations

import asyncio
import pickle
import traceback

import pytest

from nupic_client import (
    AuthenticationError,
    ConfigurationError,
    InferenceClient,
    RequestError,
    RetryPolicy,
    ServerClient,
    StreamingClient,
)
from nupic_client.testing import FakeTriton, abort, fail

pytestmark = pytest.mark.fake_only("Triton has no tokens of its own")

SECRET = "s3cr3t-t0k3n"


class Source:
    """Tokens one after the other; the last one stays."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


@pytest.fixture
def guarded():
    with FakeTriton(["Hel", "lo"], bearer_tokens={SECRET}) as server:
        yield server


def quick(retries):
    return RetryPolicy(max_retries=retries, initial_backoff=0.01)


def connect(server, token, **options):
    return StreamingClient("gpt.streaming", server.url, bearer_token=token, **options)


def authorizations(server):
    return [metadata.get("authorization") for metadata in server.metadata]


def test_a_token_goes_with_every_call(guarded, read):
    with connect(guarded, SECRET) as client:
        assert read(client, "hi")[1].text == "Hello"
    assert authorizations(guarded) == [f"Bearer {SECRET}"] * 2


def test_without_a_token_there_is_no_header(read):
    with FakeTriton() as server, StreamingClient("gpt.streaming", server.url) as client:
        read(client, "hi")
        assert authorizations(server) == [None] * 2


def test_a_function_is_asked_once_for_many_calls(guarded, read):
    source = Source(SECRET)
    with connect(guarded, source) as client:
        read(client, "hi")
        read(client, "hi")
    assert (source.asked, len(guarded.calls)) == (1, 3)


def test_a_token_that_the_server_refuses_is_fetched_anew(guarded, read):
    source = Source("first", SECRET)
    with connect(guarded, source, max_retries=0) as client:
        assert read(client, "hi")[1].text == "Hello"
    assert source.asked == 2
    assert authorizations(guarded) == ["Bearer first"] + [f"Bearer {SECRET}"] * 2


def test_a_token_that_expires_later_is_fetched_anew_for_a_generation(guarded, read):
    source = Source(SECRET, "second")
    with connect(guarded, source, max_retries=0) as client:
        assert len(read(client, "hi")[1].attempts) == 1
        guarded.bearer_tokens = {"second"}
        generation = read(client, "hi")[1]
    assert (generation.text, len(generation.attempts), source.asked) == ("Hello", 2, 2)
    assert guarded.calls[-2:] == ("ModelStreamInfer", "ModelStreamInfer")


def test_a_refused_token_is_fetched_anew_only_once(guarded, read):
    source = Source(SECRET, "second", "third")
    with connect(guarded, source) as client:
        read(client, "hi")
        guarded.bearer_tokens = set()
        with pytest.raises(AuthenticationError, match="the token is missing or not valid") as caught:
            read(client, "hi")
    assert (len(caught.value.attempts), source.asked) == (2, 2)
    assert len(guarded.calls) == 4


def test_the_renewal_leaves_the_retries_as_they_are(read):
    source = Source("first", SECRET)
    replies = [[abort("RESOURCE_EXHAUSTED", "busy")], ["Hello"]]
    with (
        FakeTriton(bearer_tokens={"first"}) as server,
        connect(server, source, max_retries=quick(1)) as client,
    ):
        read(client, "hi")
        server.bearer_tokens = {SECRET}
        server.reply = lambda request: replies.pop(0)
        generation = read(client, "hi")[1]
    assert len(generation.attempts) == 3


def test_a_text_is_not_sent_again(guarded, read):
    with connect(guarded, "wrong") as client, pytest.raises(AuthenticationError) as caught:
        read(client, "hi")
    assert len(guarded.calls) == 1
    assert "wrong" not in f"{caught.value}{caught.value!r}{client!r}{vars(caught.value)}"


def test_metadata_with_an_authorization_of_its_own_is_left_alone(guarded, read):
    source = Source("other")
    with connect(guarded, source) as client:
        assert read(client, "hi", metadata={"authorization": f"Bearer {SECRET}"})[1].text == "Hello"
        with pytest.raises(AuthenticationError):
            read(client, "hi", metadata={"authorization": "Bearer x"})
    assert source.asked == 0
    assert len(guarded.calls) == 3


def test_clients_with_other_options_share_the_token(guarded, read):
    source = Source(SECRET)
    with connect(guarded, source) as client:
        read(client, "hi")
        read(client.with_options(max_tokens=5), "hi")
    assert source.asked == 1


# Coroutine functions


async def fetched():
    await asyncio.sleep(0)
    return SECRET


@pytest.mark.parametrize(
    "source", [fetched, lambda: fetched()], ids=["coroutine function", "returns awaitable"]
)
def test_a_coroutine_function_is_awaited_in_async_calls(guarded, source):
    client = connect(guarded, source)
    assert asyncio.run(client.agenerate("hi")).text == "Hello"
    assert asyncio.run(client.agenerate("hi")).text == "Hello"
    client.close()


@pytest.mark.parametrize("call", ["generate", "stream", "wait_until_ready"])
def test_a_coroutine_function_is_an_error_in_a_call_that_blocks(guarded, call):
    with connect(guarded, fetched) as client:
        arguments = [] if call == "wait_until_ready" else ["hi"]
        with pytest.raises(
            ConfigurationError, match=r"bearer_token must be a plain function.*use the client's async methods"
        ):
            getattr(client, call)(*arguments)
    assert guarded.calls == ()


def test_an_error_of_the_function_comes_through(guarded, read):
    def broken():
        raise OSError("no token today")

    with connect(guarded, broken) as client, pytest.raises(OSError, match="no token today"):
        read(client, "hi")
    assert guarded.calls == ()


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "token must be a non-empty string.*not an empty one"),
        (5, "not int"),
        (f"{SECRET}\n", "without a line break at its end"),
        (f"Bearer {SECRET}", "without 'Bearer '"),
        ("ü", "printable ASCII without blanks"),
    ],
)
def test_what_cannot_be_sent_is_an_error_that_does_not_show_it(guarded, read, token, words):
    with pytest.raises(ConfigurationError, match=words) as at_once:
        connect(guarded, token)
    with connect(guarded, lambda: token) as client, pytest.raises(ConfigurationError, match=words) as later:
        read(client, "hi")
    assert str(at_once.value) == str(later.value)
    assert SECRET not in str(at_once.value)


# Networks

URLS = ["gpt.example:8001", "10.0.0.1:8001", "dns:///gpt.example:8001", ["localhost:1", "10.0.0.1:1"]]


@pytest.mark.parametrize("url", URLS, ids=str)
@pytest.mark.parametrize(
    "make",
    [
        lambda url, **options: StreamingClient("gpt", url, **options),
        lambda url, **options: InferenceClient("gpt", url, **options),
        ServerClient,
    ],
    ids=["StreamingClient", "InferenceClient", "ServerClient"],
)
def test_a_token_does_not_go_over_a_network_in_plain_text(make, url):
    with pytest.raises(
        ConfigurationError, match=r"in plain text.*grpcs://.*allow_insecure_token=True"
    ) as caught:
        make(url, bearer_token=SECRET)
    assert SECRET not in str(caught.value)
    make(url, bearer_token=SECRET, allow_insecure_token=True).close()


@pytest.mark.parametrize("url", ["localhost:1", "127.0.0.9:1", "[::1]:1", "unix:/x", "grpcs://gpt.example:1"])
def test_a_token_goes_to_this_machine_and_over_tls(url):
    StreamingClient("gpt", url, bearer_token=SECRET).close()


# The other clients


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_the_questions_to_a_server_carry_it(guarded, flavour):
    source = Source("first", SECRET)
    with ServerClient(guarded.url, bearer_token=source) as server:
        assert server.is_ready() if flavour == "sync" else asyncio.run(server.ais_ready())
    assert authorizations(guarded) == ["Bearer first", f"Bearer {SECRET}"]


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_generation_that_comes_at_once_carries_it(guarded, flavour):
    source = Source(SECRET, "second")
    with InferenceClient("gpt", guarded.url, bearer_token=source) as client:
        client.generate("hi")
        guarded.bearer_tokens = {"second"}
        generation = client.generate("hi") if flavour == "sync" else asyncio.run(client.agenerate("hi"))
    assert generation.text == "Hello"
    assert source.asked == 2


# Nothing is shown


def test_no_object_shows_a_token(guarded, read):
    with connect(guarded, SECRET) as client:
        stream = client.stream("hi")
        shown = [client, client._config, client._bearer, stream, stream._session.request, client._transport]
        assert not [item for item in shown if SECRET in repr(item)]
        stream.close()


ECHO = f"I know {SECRET}, do not tell anybody about {SECRET}"


def everything(error):
    """Return all that an error shows, also when it is printed with what it came from."""
    copied = pickle.loads(pickle.dumps(error))
    return "".join(traceback.format_exception(error)) + f"{error!r}{vars(error)}{copied!r}{vars(copied)}"


@pytest.mark.parametrize(
    "step", [abort("INTERNAL", ECHO), abort("UNAUTHENTICATED", ECHO), fail(ECHO)], ids=str
)
@pytest.mark.parametrize(
    "source", [{"bearer_token": SECRET}, {"bearer_token": lambda: SECRET}], ids=["text", "function"]
)
def test_a_server_that_repeats_a_token_does_not_make_us_show_it(read, step, source):
    with FakeTriton([step]) as server, StreamingClient("gpt.streaming", server.url, **source) as client:
        with pytest.raises(RequestError, match="I know …, do not tell anybody about …") as caught:
            read(client, "hi")
    assert caught.value.server_message == ECHO.replace(SECRET, "…")
    assert SECRET not in everything(caught.value)


def test_nor_an_authorization_in_the_metadata(read):
    metadata = {"authorization": f"Basic {SECRET}"}
    with FakeTriton([abort("INTERNAL", ECHO)]) as server:
        with StreamingClient("gpt.streaming", server.url, metadata=metadata) as client:
            with pytest.raises(RequestError) as caught:
                read(client, "hi")
    assert SECRET not in everything(caught.value)


@pytest.mark.parametrize("how", ["generate", "agenerate", "map", "amap"])
def test_nor_when_the_answer_comes_at_once(how):
    async def gather(client):
        return [item async for item in client.amap([{"text_input": ["a"]}])]

    with FakeTriton([abort("INTERNAL", ECHO)]) as server:
        with InferenceClient("gpt", server.url, bearer_token=SECRET) as client:
            with pytest.raises(RequestError, match="I know …") as caught:
                {
                    "generate": lambda: client.generate("hi"),
                    "agenerate": lambda: asyncio.run(client.agenerate("hi")),
                    "map": lambda: list(client.map([{"text_input": ["a"]}])),
                    "amap": lambda: asyncio.run(gather(client)),
                }[how]()
    assert SECRET not in everything(caught.value)


def test_a_token_of_few_characters_is_no_secret_that_could_be_hidden(read):
    with FakeTriton([fail("a bad day")]) as server:
        with StreamingClient("gpt.streaming", server.url, bearer_token="a") as client:
            with pytest.raises(RequestError, match="a bad day"):
                read(client, "hi")
