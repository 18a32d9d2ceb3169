"""The two colours have the same members, parameters and defaults, apart from the renames that are listed here."""

from __future__ import annotations

import inspect

import pytest

from nupic_client._async.stream import AsyncTextStream
from nupic_client._async.transport import AsyncTransport
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
ONLY_ASYNC = {TextStream: {"aclose"}, Transport: {"aclose"}}


def members(kind):
    """Return the members a user can see: public ones and those of the language, without what object has."""
    return {
        name
        for name, value in vars(kind).items()
        if (not name.startswith("_") or name in {*RENAMED, *RENAMED.values(), "__del__"})
        and (inspect.isfunction(value) or isinstance(value, property))
    }


def parameters(function):
    """Return names, kinds and defaults of the parameters."""
    return [(item.name, item.kind, item.default) for item in inspect.signature(function).parameters.values()]


PAIRS = [(TextStream, AsyncTextStream, STREAM), (Transport, AsyncTransport, RENAMED)]


@pytest.mark.parametrize(("sync", "colour", "renamed"), PAIRS)
def test_both_colours_have_the_same_members(sync, colour, renamed):
    assert {renamed.get(name, name) for name in members(sync)} == members(colour) - ONLY_ASYNC[sync]


@pytest.mark.parametrize(("sync", "colour", "renamed"), PAIRS)
def test_both_colours_have_the_same_parameters(sync, colour, renamed):
    for name in members(sync):
        twin = renamed.get(name, name)
        if not isinstance(vars(sync)[name], property):
            assert parameters(getattr(sync, name)) == parameters(getattr(colour, twin)), name


@pytest.mark.parametrize(("sync", "colour", "renamed"), PAIRS)
def test_properties_of_one_colour_are_properties_of_the_other(sync, colour, renamed):
    properties = {name for name in members(sync) if isinstance(vars(sync)[name], property)}
    assert properties == {name for name in members(colour) if isinstance(vars(colour)[name], property)}


FACADE = [
    ("generate", "agenerate"),
    ("stream", "astream"),
    ("wait_until_ready", "await_until_ready"),
    ("close", "aclose"),
    ("__enter__", "__aenter__"),
    ("__exit__", "__aexit__"),
]


@pytest.mark.parametrize(("sync", "colour"), FACADE)
def test_a_method_of_the_client_and_its_twin_have_the_same_parameters(sync, colour):
    assert parameters(getattr(StreamingClient, sync)) == parameters(getattr(StreamingClient, colour))


@pytest.mark.parametrize(("sync", "colour"), FACADE)
def test_a_method_of_the_client_and_its_twin_take_the_same_types(sync, colour):
    types = [dict(getattr(StreamingClient, name).__annotations__) for name in (sync, colour)]
    for types_of_one in types:
        types_of_one.pop("return", None)
        types_of_one.pop("callback", None)  # an async callback may also be a coroutine function
    assert types[0] == types[1]


def test_what_waits_is_async_and_what_does_not_is_not():
    waiting = {colour for _, colour in FACADE} - {"astream"}
    found = {name for name, value in vars(StreamingClient).items() if inspect.iscoroutinefunction(value)}
    assert {name for name in found if not name.startswith("_") or name.startswith("__")} == waiting


def test_every_method_that_waits_has_a_twin():
    public = {
        name for name in members(StreamingClient) if not isinstance(vars(StreamingClient)[name], property)
    }
    without_io = {"with_options"}
    assert public - without_io == {name for pair in FACADE for name in pair}
