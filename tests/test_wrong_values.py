"""A value of a wrong type is a `ConfigurationError` that names the option, for every option and every client."""

from __future__ import annotations

import inspect
import re

import pytest

from nupic_client import (
    ClientFactory,
    ConfigurationError,
    GenerateOptions,
    HttpInferenceClient,
    InferenceClient,
    InferOptions,
    InferStreamOptions,
    Lora,
    ModelRegistry,
    ModelSpec,
    NupicError,
    PromptFormatter,
    ServerClient,
    StreamingClient,
    UnknownModelError,
    default_registry,
    user,
)
from nupic_client.testing import text_signature

WRONG = [
    object(),
    "",
    "x",
    "\ud800",
    b"x",
    -1,
    1.5,
    True,
    10**30,
    float("nan"),
    [],
    [object()],
    {},
    {"a": object()},
    {1: 2},
    {1},
    (1, 2),
    print,
    ...,
]
"""Hashable and not, true and false, of every type that gets mixed up."""
SAME = {"id": "lora", "tls": "url"}
NOT_OURS = {"channel_options", "bearer_token"}  # gRPC reads them, and a function is called later


def found(call, name):
    """Return what a call of wrong values raises that is no `ConfigurationError`, or does not name the option."""
    for value in WRONG:
        try:
            call(value)
        except ConfigurationError as error:
            if error.parameter.partition(".")[0] not in {name, SAME.get(name), "formatter", "family"}:
                yield f"{name}={value!r:.40} names {error.parameter!r}: {error}"
        except Exception as error:
            yield f"{name}={value!r:.40}: {type(error).__name__}: {error}"


OFFLINE = {"url": "127.0.0.1:1", "signature": text_signature("m")}
OF_INFERENCES = {*InferOptions.__annotations__, *InferStreamOptions.__annotations__} - {"text"}
CLIENTS = {
    StreamingClient: ({"model": "m", **OFFLINE}, GenerateOptions),
    InferenceClient: ({"model": "m", **OFFLINE}, InferOptions),
    HttpInferenceClient: ({"model": "m", "url": "http://127.0.0.1:1"}, InferOptions),
    ServerClient: ({"url": "127.0.0.1:1"}, None),
}


@pytest.mark.parametrize("kind", CLIENTS)
def test_every_argument_of_a_client(kind):
    given, options = CLIENTS[kind]
    parameters = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is not parameter.VAR_KEYWORD and name not in NOT_OURS
    ]
    assert {"url", *(() if options is None else ("model", "registry", "formatter", "reasoning"))} <= {
        *parameters
    }
    problems = [
        problem
        for name in parameters
        for problem in found(lambda value, name=name: kind(**{**given, name: value}), name)
    ]
    assert problems == []


@pytest.mark.parametrize("option", [*GenerateOptions.__annotations__])
def test_every_option_of_a_generation(option):
    client = StreamingClient("m", formatter="qwen3", **OFFLINE)
    assert [*found(lambda value: client.with_options(**{option: value}), option)] == []


@pytest.mark.parametrize("option", sorted(OF_INFERENCES))
def test_every_option_of_an_inference(option):
    client = InferenceClient("m", **OFFLINE)
    assert [*found(lambda value: client.with_options(**{option: value}), option)] == []


@pytest.mark.parametrize("option", ["concurrency", "errors"])
def test_the_options_of_a_map(option):
    client = StreamingClient("m", **OFFLINE)
    assert [*found(lambda value: client.map(["a"], **{option: value}), option)] == []
    assert [*found(lambda value: client.amap(["a"], **{option: value}), option)] == []


@pytest.mark.parametrize("field", ["name", "id", "path", "source"])
def test_an_adapter(field):
    problems = found(lambda value: Lora(**{"name": "a", field: value}), "lora")
    assert [*problems] == []
    with pytest.raises(ConfigurationError, match=f"{field} of a Lora must be"):
        Lora(**{"name": "a", field: object()})


def test_an_entry_that_is_none():
    with pytest.raises(ConfigurationError, match="an entry of a registry must be a ModelSpec, not str"):
        ModelRegistry(["zephyr"])


def test_a_formatter_that_is_none():
    class Tokenizer:
        def apply_chat_template(self, messages):
            return messages

    words = "formatter must be a PromptFormatter or the name of a family, not Tokenizer, PromptFormatter.from_jinja"
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        StreamingClient("m", formatter=Tokenizer())
    with pytest.raises(ConfigurationError, match=r"must be a Family, not 'zephyr': get_prompt_formatter\(\)"):
        PromptFormatter("zephyr")


def test_an_empty_registry_is_one():
    """It counts as false, and was taken as none."""
    assert StreamingClient("smollm2", registry=default_registry()).formatter is not None
    client = StreamingClient("smollm2", registry=ModelRegistry())
    assert client.model == ModelSpec(name="smollm2", family=client.model.family)
    assert client.model.server_name == "smollm2"
    with pytest.raises(UnknownModelError):
        ModelRegistry()["smollm2"]


def test_a_prompt_of_another_type():
    client = StreamingClient("m", formatter="qwen3", **OFFLINE)
    for value in (3, None, b"x", object(), [3], [user("a"), None], {"role": "user", "content": "a"}):
        with pytest.raises(NupicError):
            client.generate(value)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_factory(protocol):
    with pytest.raises(ConfigurationError, match="registry must be a ModelRegistry, not object"):
        ClientFactory.get_client("m", None, protocol, registry=object())


@pytest.mark.parametrize("value", [{}, {"END": 1}])
def test_a_mapping_is_no_list_of_stop_strings(value):
    with pytest.raises(
        ConfigurationError, match=r"stop must be a non-empty string or a list of them, not \{"
    ):
        StreamingClient("m", stop=value, **OFFLINE)
