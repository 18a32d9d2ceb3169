from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from nupic_client import errors
from nupic_client.attempts import Attempt
from nupic_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceError,
    NupicError,
    RequestError,
    StreamClosedError,
    UnknownModelError,
)
from nupic_client.registry import model_naming_mapping


def tried(count):
    return (Attempt("host:8001", "UNAVAILABLE", 0.5),) * count


FACTS = {
    "model": "llm",
    "target": "host:8001",
    "request_id": "r1",
    "status": "UNAVAILABLE",
    "server_message": "engine exploded",
    "partial_text": "Once",
    "retryable": True,
    "attempts": tried(3),
}
CLASSES = [getattr(errors, name) for name in errors.__all__]


def made(kind):
    """Make an error of a class with every fact it can have."""
    facts = dict(FACTS) if issubclass(kind, RequestError) else {}
    if kind is DeadlineExceededError:
        facts |= {"deadline": "total", "limit": 2.0, "elapsed": 2.5}
    if kind is UnknownModelError:
        facts = {"model": "gpt", "known": ("a", "b")}
    return kind("it failed", **facts)


# The tree


def tree_in_the_docstring():
    """Return class name -> name of its parent, as the docstring draws it."""
    parents, path = {}, []
    for line in inspect.getdoc(errors).splitlines():
        match = re.match(r"([│ ├└─]*)(\w+Error)\b", line)
        if match:
            depth = len(match[1]) // 4 - 1  # the whole tree is indented
            del path[depth:]
            parents[match[2]] = path[-1] if path else None
            path.append(match[2])
    return parents


def test_the_classes_form_the_tree_that_the_docstring_draws():
    expected = {kind.__name__: kind.__bases__[0].__name__ for kind in CLASSES} | {"NupicError": None}
    drawn = tree_in_the_docstring()
    drawn["NupicError"] = None
    assert drawn == expected


def test_the_builtin_parents_are_those_that_the_docstring_names():
    drawn = dict(re.findall(r"(\w+Error) +\((\w+)\) ", inspect.getdoc(errors)))
    found = {kind.__name__: kind.__bases__[1].__name__ for kind in CLASSES if len(kind.__bases__) > 1}
    assert drawn == found


def test_every_class_of_the_module_is_listed():
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert classes == set(errors.__all__)


def test_every_name_ends_in_error():
    assert all(name.endswith("Error") for name in errors.__all__)


# Sentences


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NupicError("it failed"), "it failed"),
        (ConfigurationError("url 'x' is not valid"), "url 'x' is not valid"),
        (ConfigurationError("leave it out", hint="or set it=1", parameter="it"), "leave it out, or set it=1"),
        (StreamClosedError("closed"), "closed"),
        (UnknownModelError("no model 'gpt'", model="gpt", known=("a",)), "no model 'gpt'"),
        (RequestError("it failed"), "it failed"),
        (RequestError("it failed", model="llm"), "it failed (model 'llm')"),
        (RequestError("it failed", attempts=tried(2)), "it failed (attempts 2)"),
        (RequestError("it failed", partial_text="Once", server_message="x", retryable=True), "it failed"),
        (
            InferenceError("it failed", **FACTS),
            "it failed (model 'llm', server host:8001, request r1, status UNAVAILABLE, attempts 3)",
        ),
        (DeadlineExceededError("too late"), "too late (status DEADLINE_EXCEEDED)"),
    ],
)
def test_the_sentence_of_an_error(error, sentence):
    assert str(error) == sentence


@pytest.mark.parametrize("kind", CLASSES)
def test_a_message_alone_makes_an_error(kind):
    assert kind("it failed").message == "it failed"


def test_facts_that_are_not_known_are_empty():
    error = RequestError("it failed")
    assert vars(error) == {
        "message": "it failed",
        "model": "",
        "target": "",
        "request_id": "",
        "status": "",
        "server_message": "",
        "partial_text": "",
        "partial_results": (),
        "retryable": False,
        "elsewhere": False,
        "attempts": (),
        "retry_after": None,
        "trailing_metadata": (),
    }


# Copies


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", CLASSES)
def test_a_copy_has_every_fact(kind, copied):
    error = made(kind)
    twin = copied(error)
    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert (str(twin), twin.args) == (str(error), error.args)


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_a_copy_has_the_hint_once(copied):
    error = ConfigurationError("leave it out", hint="or set it=1", parameter="it")
    twin = copied(error)
    assert vars(twin) == {"message": "leave it out", "hint": "or set it=1", "parameter": "it"}
    assert (str(twin), twin.args) == (str(error), error.args) == ("leave it out, or set it=1", (str(error),))


def test_an_error_that_learns_more_is_a_new_one():
    error, cause = made(InferenceError), ValueError("why")
    error.__cause__ = cause
    before = str(error)
    more = error.with_facts(message="it failed", attempts=tried(7))
    assert str(error) == before
    assert str(more) == more.args[0]
    assert "it failed" in repr(more)
    assert "attempts 7" in repr(more)
    assert (type(more), len(more.attempts), more.__cause__) == (InferenceError, 7, cause)


def test_an_error_is_completed_with_the_facts_that_it_lacks():
    error = InferenceError("it failed", model="llm")
    whole = error.completed(model="other", target="host:8001", request_id="")
    assert (whole.model, whole.target, whole.request_id) == ("llm", "host:8001", "")
    assert error.target == ""
    assert whole.completed(model="other") is whole


def test_facts_that_were_added_later_are_copied_too():
    error = InferenceError("it failed")
    error.message = "it failed; do this"
    error.partial_text = "Once"
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.message, twin.partial_text) == ("it failed; do this", "Once")


@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_the_error_of_the_naming_mapping_can_be_copied(copied):
    with pytest.raises(KeyError) as caught:
        model_naming_mapping["nope"]
    twin = copied(caught.value)
    assert (type(twin), vars(twin)) == (type(caught.value), vars(caught.value))
    assert type(twin).__name__.endswith("Error")


# Caught as what a Python programmer expects


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_caught_as_a_nupic_error(kind):
    with pytest.raises(NupicError):
        raise made(kind)


def test_a_passed_deadline_is_caught_as_a_timeout_error():
    with pytest.raises(TimeoutError):
        raise made(DeadlineExceededError)


def test_a_missing_file_is_not_what_a_passed_deadline_looks_like():
    assert (made(DeadlineExceededError).errno, made(DeadlineExceededError).filename) == (None, None)
