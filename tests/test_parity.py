"""The two flavours have the same members, parameters and defaults, apart from the renames that are listed here."""

from __future__ import annotations

import inspect

import pytest

from nupic_client import InferenceClient, InferenceSequence, ServerClient, SharedMemoryRegion
from nupic_client._async.bulk import AsyncResultStream
from nupic_client._async.infer_stream import AsyncInferenceStream
from nupic_client._async.stream import AsyncTextStream
from nupic_client._async.transport import AsyncTransport
from nupic_client._sync.bulk import ResultStream
from nupic_client._sync.infer_stream import InferenceStream
from nupic_client._sync.stream import TextStream
from nupic_client._sync.transport import Transport
from nupic_client.streaming import StreamingClient

RENAMED = {
    "__iter__": "__aiter__",
    "__next__": "__anext__",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}
# Cancelling needs no await and so has a method of its own; aclose is there for contextlib.aclosing.
STREAM = RENAMED | {"close": "cancel"}
ONLY_ASYNC = {
    TextStream: {"aclose"},
    InferenceStream: {"aclose"},
    Transport: {"aclose", "begin_at_once"},  # a coroutine costs something even where it does not wait
    ResultStream: {"aclose"},
}
# A call that goes on while others are begun: asyncio has tasks for that, threads need gRPC's futures.
ONLY_SYNC = {Transport: {"answers", "calls", "keep", "not_started"}}


def own(kind):
    """Return what a class and its bases of this package define."""
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("nupic_client"):
            found |= vars(base)
    return found


def members(kind):
    """Return the members a user can see: public ones and those of the language, without what object has."""
    return {
        name
        for name, value in own(kind).items()
        if (not name.startswith("_") or name in {*RENAMED, *RENAMED.values(), "__del__"})
        and (inspect.isfunction(value) or isinstance(value, property))
    }


def parameters(function):
    """Return names, kinds and defaults of the parameters."""
    return [(item.name, item.kind, item.default) for item in inspect.signature(function).parameters.values()]


PAIRS = [
    (TextStream, AsyncTextStream, STREAM),
    (InferenceStream, AsyncInferenceStream, STREAM),
    (ResultStream, AsyncResultStream, STREAM),
    (Transport, AsyncTransport, RENAMED),
]


@pytest.mark.parametrize(("sync", "flavour", "renamed"), PAIRS)
def test_both_colours_have_the_same_members(sync, flavour, renamed):
    expected = {renamed.get(name, name) for name in members(sync) - ONLY_SYNC.get(sync, set())}
    assert expected == members(flavour) - ONLY_ASYNC[sync]


@pytest.mark.parametrize(("sync", "flavour", "renamed"), PAIRS)
def test_both_colours_have_the_same_parameters(sync, flavour, renamed):
    for name in members(sync) - ONLY_SYNC.get(sync, set()):
        twin = renamed.get(name, name)
        if not isinstance(own(sync)[name], property):
            assert parameters(getattr(sync, name)) == parameters(getattr(flavour, twin)), name


@pytest.mark.parametrize(("sync", "flavour", "renamed"), PAIRS)
def test_properties_of_one_colour_are_properties_of_the_other(sync, flavour, renamed):
    properties = {name for name in members(sync) if isinstance(own(sync)[name], property)}
    assert properties == {name for name in members(flavour) if isinstance(own(flavour)[name], property)}


LIFE = [
    ("wait_until_ready", "await_until_ready"),
    ("close", "aclose"),
    ("__enter__", "__aenter__"),
    ("__exit__", "__aexit__"),
]
FACADES = {
    SharedMemoryRegion: [
        ("open", "aopen"),
        ("register", "aregister"),
        *(pair for pair in LIFE if pair[0] != "wait_until_ready"),
    ],
    StreamingClient: [
        ("generate", "agenerate"),
        ("parse", "aparse"),
        ("stream", "astream"),
        ("map", "amap"),
        *LIFE,
    ],
    InferenceClient: [
        ("infer", "ainfer"),
        ("infer_stream", "ainfer_stream"),
        ("embed", "aembed"),
        ("generate", "agenerate"),
        ("parse", "aparse"),
        ("map", "amap"),
        *LIFE,
    ],
    InferenceSequence: [
        ("infer", "ainfer"),
        ("infer_stream", "ainfer_stream"),
        ("__enter__", "__aenter__"),
        ("__exit__", "__aexit__"),
    ],
    ServerClient: [
        ("each", "aeach"),
        ("is_live", "ais_live"),
        *(
            (name, f"a{name}")
            for name in (
                "is_ready",
                "metadata",
                "models",
                "is_model_ready",
                "signature",
                "statistics",
                "model_config",
                "load",
                "unload",
                "trace_settings",
                "update_trace_settings",
                "log_settings",
                "update_log_settings",
                *(
                    f"{does}{kind}_shared_memory"
                    for does in ("", "register_", "unregister_")
                    for kind in ("system", "cuda")
                ),
            )
        ),
        *LIFE,
    ],
}
TWINS = [(client, sync, flavour) for client, pairs in FACADES.items() for sync, flavour in pairs]
WITHOUT_IO = {
    "add_observer",
    "endpoints",
    "with_options",
    "sequence",
    "shared_memory",
    "put",
    "output",
    "array",
    "clear",
    "count_tokens",
}
DO_NOT_AWAIT = {"astream", "amap", "ainfer_stream"}


@pytest.mark.parametrize(("client", "sync", "flavour"), TWINS)
def test_a_method_of_a_client_and_its_twin_have_the_same_parameters(client, sync, flavour):
    assert parameters(getattr(client, sync)) == parameters(getattr(client, flavour))


@pytest.mark.parametrize(("client", "sync", "flavour"), TWINS)
def test_a_method_of_a_client_and_its_twin_take_the_same_types(client, sync, flavour):
    types = [dict(getattr(client, name).__annotations__) for name in (sync, flavour)]
    for types_of_one in types:
        # An async callback may also be a coroutine function, and async inputs an async iterable.
        for name in ("return", "callback", "inputs", "prompts") if sync == "map" else ("return", "callback"):
            types_of_one.pop(name, None)
    assert types[0] == types[1]


@pytest.mark.parametrize("client", FACADES)
def test_what_waits_is_async_and_what_does_not_is_not(client):
    waiting = {flavour for _, flavour in FACADES[client]} - DO_NOT_AWAIT
    found = {name for name, value in own(client).items() if inspect.iscoroutinefunction(value)}
    assert {name for name in found if not name.startswith("_") or name.startswith("__")} == waiting


@pytest.mark.parametrize("client", FACADES)
def test_every_method_that_waits_has_a_twin(client):
    public = {name for name in members(client) if not isinstance(own(client)[name], property)}
    assert public - WITHOUT_IO == {name for pair in FACADES[client] for name in pair}
