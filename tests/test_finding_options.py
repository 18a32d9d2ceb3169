"""Options can be found: in help, in what shells complete, under the mouse, and under the names of other libraries."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import typing
from pathlib import Path

import pytest
from IPython.core.completer import IPCompleter, provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import nupic_client
from nupic_client import (
    Conversation,
    GenerateOptions,
    HttpInferenceClient,
    InferenceClient,
    InferOptions,
    SamplingParams,
    StreamingClient,
)
from nupic_client._option_signatures import ORIGINALS
from nupic_client._suggest import _ELSEWHERE, called_here
from nupic_client.sampling import OPTION_NAMES

PACKAGE = Path(nupic_client.__file__).parent
OPTIONS = set(GenerateOptions.__annotations__)
METHODS = [
    *(StreamingClient.generate, StreamingClient.stream, StreamingClient.agenerate, StreamingClient.astream),
    *(StreamingClient.map, StreamingClient.amap, StreamingClient.with_options, StreamingClient.count_tokens),
    *(InferenceClient.generate, InferenceClient.agenerate, HttpInferenceClient.generate),
    *(Conversation.stream, Conversation.generate, StreamingClient, InferenceClient, HttpInferenceClient),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__qualname__)
def test_a_signature_names_each_option(method):
    parameters = inspect.signature(method).parameters
    assert {*parameters} >= OPTIONS
    assert not [it for it in parameters.values() if it.kind is inspect.Parameter.VAR_KEYWORD]
    assert parameters["max_tokens"].annotation == "int | None"


def test_the_other_options_are_named_too():
    parameters = inspect.signature(InferenceClient.infer).parameters
    assert {*parameters} == {"self", "inputs", *InferOptions.__annotations__}
    assert "response_format" in inspect.signature(StreamingClient.parse).parameters
    assert inspect.signature(StreamingClient.parse).parameters["response_format"].kind is (
        inspect.Parameter.POSITIONAL_ONLY
    )


def test_the_options_say_nothing_that_the_method_does_not_take():
    """A value in the signature is none that a call without it sends."""
    parameters = inspect.signature(StreamingClient.generate).parameters
    assert str(parameters["max_tokens"]) == "max_tokens: 'int | None' = ..."
    assert parameters["prompt"].default is inspect.Parameter.empty
    assert parameters["callback"].default is None


def test_type_checkers_and_the_documentation_have_the_short_signature():
    assert "options: 'Unpack[GenerateOptions]'" in str(ORIGINALS[StreamingClient.generate])
    assert typing.get_type_hints(StreamingClient.generate)["return"] is nupic_client.Generation


def test_a_class_of_a_user_has_the_signature_too():
    class Mine(StreamingClient):
        """One more."""

    assert {*inspect.signature(Mine).parameters} >= OPTIONS


@pytest.mark.parametrize("option", OPTION_NAMES)
def test_help_names_the_sampling_options(option):
    for what in (StreamingClient.generate, GenerateOptions):
        assert option in pydoc.plain(pydoc.render_doc(what))


def test_the_text_of_the_options_names_each():
    assert set(re.findall(r"``(\w+)``", GenerateOptions.__doc__)) - {"None"} == OPTIONS


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ('client.generate("x", max_', "max_tokens="),
        ('client.stream("x", temp', "temperature="),
        ("client.map([], resp", "response_format="),
        ('StreamingClient("m", top_', "top_p="),
    ],
)
@pytest.mark.parametrize("with_jedi", [True, False])
def test_ipython_completes_options(line, option, with_jedi):
    shell = InteractiveShell.instance()
    names = {"client": StreamingClient("m", "localhost:1"), "StreamingClient": StreamingClient}
    completer = IPCompleter(shell=shell, namespace=names, global_namespace={})
    completer.use_jedi = with_jedi
    with provisionalcompleter():
        found = {completion.text for completion in completer.completions(line, len(line))}
    assert option in found


def described(path):
    """Yield the classes with fields of a module: name, text, and the text below each field."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            texts = {}
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field.annotation):
                    is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    texts[field.target.id] = inspect.cleandoc(after.value.value) if is_text else ""
            if texts:
                yield node.name, ast.get_docstring(node) or "", texts


MODULES = (
    *("results", "sampling", "options", "timeouts", "model_spec", "attempts", "endpoint", "observe"),
    *("server_info", "signature", "batch/report", "config"),
)
CLASSES = [
    pytest.param(text, texts, id=f"{module}.{name}")
    for module in MODULES
    for name, text, texts in described(PACKAGE / f"{module}.py")
    if name not in {"ClientConfig", "BaseCredentials"}
]


def test_the_classes_that_people_look_at_are_found():
    names = " ".join(it.id for it in CLASSES)
    for name in (
        "Generation",
        "Timing",
        "Usage",
        "SamplingParams",
        "GenerateOptions",
        "Timeouts",
        "BatchReport",
    ):
        assert f".{name}" in names


@pytest.mark.parametrize(("text", "texts"), CLASSES)
def test_each_field_has_a_text_for_editors(text, texts):
    assert [name for name, below in texts.items() if not below] == []


def in_args(text):
    section = re.search(r"^Args:\n((?:    .*(?:\n|\Z)|\n)*)", text, re.MULTILINE)
    entries = re.findall(r"^    (\w+): ((?:.|\n(?=     ))*)", section[1] if section else "", re.MULTILINE)
    return {name: " ".join(entry.split()) for name, entry in entries}


@pytest.mark.parametrize(("text", "texts"), CLASSES)
def test_help_and_editors_say_the_same(text, texts):
    """`help()` shows the text of the class, an editor that of the field."""
    for name, entry in in_args(text).items():
        if name in texts:
            assert " ".join(texts[name].split()).rstrip(".").lower() == entry.rstrip(".").lower(), name


def test_the_sampling_options_have_one_text():
    classes = [*described(PACKAGE / "options.py"), *described(PACKAGE / "sampling.py")]
    texts = {name: below for name, _, below in classes}
    for option in OPTION_NAMES:
        assert texts["GenerateOptions"][option] == texts["SamplingParams"][option]
    assert SamplingParams.__doc__.count(": ") >= len(OPTION_NAMES)


@pytest.fixture
def client():
    with StreamingClient("m", "localhost:1") as client:
        yield client


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("headers", r"give metadata=\{'name': 'value'\}"),
        ("stream", r"call client\.stream\(prompt\)"),
        ("system", r"put system\("),
        ("extra_body", "give backend_inputs="),
        ("api_key", "give bearer_token= to the client"),
        ("base_url", "give url= to the client"),
        ("max_new_tokens", "give max_tokens="),
        ("max_completion_tokens", "give max_tokens="),
        ("n", r"call client\.map\(\[prompt\] \* n\)"),
        ("messages", "give the text or the list of messages to generate or stream"),
        ("model", "each client is for one model"),
        ("format", "give response_format="),
        ("think", "give template_variables="),
        ("images", r"put ImagePart\(path\) into the content"),
        ("options", "give each option by its name"),
        ("port", "give url= to the client"),
    ],
)
def test_a_word_from_elsewhere_gets_what_to_write_here(client, option, advice):
    for call in (client.generate, client.stream, client.astream, client.map):
        with pytest.raises(TypeError, match=rf"there is no option '{option}': {advice}") as caught:
            call(["Hello"], **{option: 1})
        assert "the options are" not in str(caught.value)
    if option != "model":
        with pytest.raises(TypeError, match=rf"there is no option '{option}': {advice}"):
            StreamingClient("m", "localhost:1", **{option: 1})


def test_a_prompt_under_another_name_is_a_hint_too(client):
    with pytest.raises(TypeError, match="'messages': give the text or the list of messages to generate"):
        client.generate(messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(TypeError, match="prompt is missing: give a text or a list of messages"):
        client.generate()
    with pytest.raises(TypeError, match="prompt is missing"):
        client.stream()


def test_a_client_for_arrays_hears_of_its_own_options_only():
    with InferenceClient("m", "localhost:1") as client:
        with pytest.raises(TypeError, match="'headers': give metadata="):
            client.infer({}, headers={})
        with pytest.raises(TypeError, match="'max_new_tokens': the options are"):
            client.infer({}, max_new_tokens=1)


@pytest.mark.parametrize("word", _ELSEWHERE)
def test_each_word_from_elsewhere_is_no_option_and_leads_to_one(word):
    assert word not in OPTIONS
    option, _ = _ELSEWHERE[word]
    assert not option or option in OPTIONS
    assert called_here(word, OPTIONS)


def test_examples_print_no_token_on_a_line_of_its_own():
    pages = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "docs").rglob("*.md"), PACKAGE.parent / "README.md"]
    assert [page.name for page in pages if "callback=print" in page.read_text(encoding="utf-8")] == []
