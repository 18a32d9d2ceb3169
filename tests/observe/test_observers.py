"""What may be an observer, what becomes of one that raises, and what becomes of it in copies of a client."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from inference.tensor_server import TensorServer, signature
from observe.recorder import Recorder, wait_until

from nupic_client import (
    ConfigurationError,
    HttpInferenceClient,
    InferenceClient,
    Observer,
    StreamingClient,
)
from nupic_client.testing import FakeTriton, abort, silence

METHODS = ["on_start", "on_first_token", "on_retry", "on_end"]


@pytest.fixture
def server():
    with FakeTriton(["a", "b"]) as server:
        yield server


def connect(server, observer):
    return StreamingClient("gpt.streaming", server.url, observer=observer)


# --- what may be one


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_are_optional(server, method):
    told = []
    server.reply = lambda request: ["a"] if told or method != "on_retry" else [abort("UNAVAILABLE", "away")]
    with connect(server, SimpleNamespace(**{method: lambda *facts: told.append(facts)})) as client:
        client.generate("hi", max_retries=9)
        assert client.observer is not None
    assert len(told) == 1


def test_a_class_that_extends_the_protocol_needs_no_method_either(server):
    class Ends(Observer):
        def __init__(self):
            self.ends = []

        def on_end(self, info, outcome):
            self.ends.append(outcome)

    seen = Ends()
    with connect(server, seen) as client:
        client.generate("hi")
    assert len(seen.ends) == 1


class Async:
    async def on_end(self, info, outcome):
        """Never called."""


class Nothing(Observer):
    """Has no method of its own."""


@pytest.mark.parametrize(
    ("observer", "words"),
    [
        (object(), "observer must have at least one of the methods on_start,"),
        ("logs", "not str"),
        (Nothing(), "not Nothing"),
        (SimpleNamespace(on_ends=print), "at least one"),
        (SimpleNamespace(on_end=3), "observer.on_end must be a plain method of an object, not 3"),
        (Async(), "told, not awaited"),
        (Recorder, "not the class Recorder: make an object of it"),
    ],
)
@pytest.mark.parametrize("kind", [StreamingClient, InferenceClient, HttpInferenceClient])
def test_what_is_none(kind, observer, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        kind("gpt", "localhost:1", observer=observer)
    assert caught.value.parameter == "observer"


def test_an_observer_can_be_set_later(server):
    first, second = Recorder(), Recorder()
    with StreamingClient("gpt.streaming", server.url) as client:
        assert client.observer is None
        client.generate("hi")
        client.observer = first
        other = client.with_options(max_tokens=5)
        client.observer = second
        client.generate("hi")
        other.generate("hi")
        client.observer = None
        client.generate("hi")
        with pytest.raises(ConfigurationError):
            client.observer = 5
    assert (len(first.infos), len(second.infos)) == (1, 1)


def test_the_methods_are_looked_up_once(server):
    class Counted(Recorder):
        looked_up = 0

        def __getattribute__(self, name):
            if name.startswith("on_"):
                type(self).looked_up += 1
            return super().__getattribute__(name)

    with connect(server, Counted()) as client:
        before = Counted.looked_up
        for _ in range(3):
            client.generate("hi")
    assert Counted.looked_up == before


# --- one that raises


class Failing(Recorder):
    def __init__(self, method, error):
        super().__init__()
        self.method = method
        self.error = error

    def note(self, name, info, *facts):
        super().note(name, info, *facts)
        if name == self.method:
            raise self.error


@pytest.mark.parametrize("method", ["start", "first", "retry", "end"])
def test_an_observer_that_raises_is_dropped(server, caplog, method):
    replies = [[abort("UNAVAILABLE", "away")], ["a", "b"], ["a", "b"]]
    server.reply = lambda request: replies.pop(0)
    seen = Failing(method, ZeroDivisionError("the observer's own"))
    with connect(server, seen) as client:
        assert client.generate("hi").text == "ab"
        told = list(seen.names)
        assert told[-1] == method
        assert client.generate("hi").text == "ab"
        assert seen.names == told
        assert client.observer is None
        client.observer = again = Recorder()
    assert again.calls == []
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"observer Failing is not called any more: on_{method}" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_it_is_dropped_once_for_all_that_run(server, caplog):
    server.reply = ["a", silence()]
    seen = Failing("end", ZeroDivisionError())
    with connect(server, seen) as client:
        streams = [client.stream("hi") for _ in range(16)]
        barrier = threading.Barrier(len(streams))

        def close(stream):
            barrier.wait()
            stream.close()

        threads = [threading.Thread(target=close, args=(stream,)) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_it_is_dropped_in_the_thread_of_destructors(server, caplog):
    server.reply = ["a", silence()]
    seen = Failing("end", ZeroDivisionError())
    with connect(server, seen) as client:
        stream = client.stream("hi")
        next(stream)
        del stream
        gc.collect()
        wait_until(lambda: client.observer is None)
    assert seen.threads[-1] != threading.get_ident()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_the_thread_of_destructors_survives(server, error):
    server.reply = ["a", silence()]
    seen = Failing("end", error)
    with connect(server, seen) as client:
        for count in (1, 2):
            stream = client.stream("hi")
            next(stream)
            del stream
            gc.collect()
            wait_until(lambda count=count: seen.names.count("end") == count)
        wait_until(lambda: len(server.cancellations) == 2)


@pytest.mark.parametrize("method", ["start", "first", "retry", "end"])
def test_ctrl_c_passes(server, method):
    replies = [[abort("UNAVAILABLE", "away")], ["a", "b"], ["a", "b"]]
    server.reply = lambda request: replies.pop(0)
    seen = Failing(method, KeyboardInterrupt())
    with connect(server, seen) as client:
        with pytest.raises(KeyboardInterrupt):
            client.generate("hi")
        seen.method = ""
        before = len(seen.calls)
        while replies:
            client.generate("hi")
        assert "end" in seen.names[before:]
    for info in seen.infos[method == "start" :]:
        assert [each for name, each, _ in seen.calls if name == "end"].count(info) == 1


@pytest.mark.parametrize("method", ["start", "end"])
def test_ctrl_c_passes_for_arrays(method):
    seen = Failing(method, KeyboardInterrupt())
    with TensorServer(signature("m", {"x": ("FP32", (-1,))})) as server:
        with InferenceClient("m", server.url, observer=seen) as client:
            array = np.ones(2, np.float32)
            for ask in (client.infer, lambda array: list(client.map([array]))):
                with pytest.raises(KeyboardInterrupt):
                    ask(array)
    ends = [info for name, info, _ in seen.calls if name == "end"]
    assert len(ends) == len(set(ends)) == (2 if method == "end" else 0)


# --- copies


class Stateless(Observer):
    """Can be pickled."""

    ends = 0

    def on_end(self, info, outcome):
        type(self).ends += 1


CLIENTS = pytest.mark.parametrize("kind", [StreamingClient, InferenceClient, HttpInferenceClient])


@CLIENTS
def test_a_pickled_client_has_its_observer(kind):
    client = pickle.loads(pickle.dumps(kind("gpt", "localhost:1", observer=Stateless())))
    assert type(client.observer).__name__ == "Stateless"
    assert pickle.loads(pickle.dumps(kind("gpt", "localhost:1"))).observer is None


@CLIENTS
def test_an_observer_that_cannot_be_pickled_is_left_out(kind, caplog):
    seen = Recorder()
    seen.lock = threading.Lock()
    client = kind("gpt", "localhost:1", observer=seen)
    assert pickle.loads(pickle.dumps(client)).observer is None
    assert "observer Recorder cannot be pickled" in caplog.text
    assert client.observer is seen


@CLIENTS
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_the_same_observer(kind, copied):
    seen = Recorder()
    seen.lock = threading.Lock()
    assert copied(kind("gpt", "localhost:1", observer=seen)).observer is seen


def test_a_copied_client_tells(server):
    client = pickle.loads(pickle.dumps(connect(server, Stateless())))
    before = type(client.observer).ends
    with client:
        client.generate("hi")
        assert type(client.observer).ends == before + 1
