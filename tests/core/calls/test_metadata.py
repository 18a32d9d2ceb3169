"""Metadata made for a call: fixed parts and functions, the later ones over the earlier ones, checked."""

from __future__ import annotations

import contextvars
from types import MappingProxyType

import pytest

from nupic_client._core.calls.flows import FetchMetadata
from nupic_client._core.calls.metadata import MetadataSource, metadata_over
from nupic_client.errors import ConfigurationError


def made(source, context=None):
    flow = source.resolve(context)
    reply = None
    while True:
        try:
            command = flow.send(reply)
        except StopIteration as stop:
            return stop.value
        assert isinstance(command, FetchMetadata)
        reply = command.source()


def one():
    return {"a": "1", "b": "1"}


def two():
    return MappingProxyType({"b": "2"})


def test_fixed_metadata_stays_a_tuple():
    assert metadata_over((), {"a": "1"}) == (("a", "1"),)
    assert metadata_over((("a", "1"), ("b", "1")), {"b": "2"}) == (("a", "1"), ("b", "2"))
    assert metadata_over((("a", "1"),), None) == (("a", "1"),)


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ([one], {"a": "1", "b": "1"}),
        ([one, two], {"a": "1", "b": "2"}),
        ([two, one], {"a": "1", "b": "1"}),
        ([{"b": "0", "c": "0"}, one], {"a": "1", "b": "1", "c": "0"}),
        ([one, {"b": "0"}, two], {"a": "1", "b": "2"}),
        ([one, {"b": "0"}, None, {}], {"a": "1", "b": "0"}),
    ],
)
def test_later_ones_go_over_earlier_ones(layers, wanted):
    metadata = ()
    for layer in layers:
        metadata = metadata_over(metadata, layer)
    assert dict(made(metadata)) == wanted


def test_nothing_more_is_the_same_object():
    source = metadata_over((), one)
    assert metadata_over(source, None) is metadata_over(source, {}) is source


def test_a_mapping_that_can_be_called_is_a_mapping():
    class Odd(dict):
        def __call__(self):
            raise AssertionError

    assert metadata_over((), Odd(a="1")) == (("a", "1"),)


def test_the_context():
    variable = contextvars.ContextVar("variable", default="outside")
    context = contextvars.copy_context()
    context.run(variable.set, "inside")
    source = MetadataSource(lambda: {"a": variable.get()})
    assert made(source) == (("a", "outside"),)
    assert made(source, context) == (("a", "inside"),)


@pytest.mark.parametrize("found", [None, [], "x", {"A": "1"}, {"a": 1}, {"a-bin": "x"}])
def test_what_a_function_returns_is_checked(found):
    with pytest.raises(ConfigurationError) as caught:
        made(MetadataSource(lambda: found))
    assert caught.value.parameter == "metadata"


@pytest.mark.filterwarnings("error")
def test_a_coroutine_in_a_blocking_call():
    async def later():
        return {}

    with pytest.raises(ConfigurationError, match="plain function in a blocking call"):
        made(MetadataSource(later))


def test_its_repr_shows_nothing():
    assert repr(metadata_over((("a", "secret"),), one)) == "MetadataSource(…)"
