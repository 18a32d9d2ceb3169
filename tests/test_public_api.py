from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import nupic_client
from nupic_client import _public, errors, local, options

SOURCE = ast.parse(Path(nupic_client.__file__).read_text(encoding="utf-8"))
NAMES = [name for name in nupic_client.__all__ if name != "__version__"]
ALIASES = {"AsyncCallback", "Callback", "Event", "Prompt", "ToolLike"}
"""Names for types."""


def imported_for_type_checkers():
    """Return the public names by module, as the TYPE_CHECKING block imports them."""
    (block,) = (node for node in SOURCE.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        node.module.removeprefix("nupic_client."): tuple(sorted(alias.name for alias in node.names))
        for node in block.body
        if node.module.startswith("nupic_client.")
    }


def test_all_has_each_name_that_can_be_loaded_once():
    assert sorted(nupic_client.__all__) == sorted(["__version__", *nupic_client._HOME_OF])


def test_all_is_sorted_as_import_statements_are():
    def place(name):
        return (not name.isupper(), not name[0].isupper(), name)

    assert nupic_client.__all__ == sorted(nupic_client.__all__, key=place)


def test_type_checkers_see_what_is_loaded():
    assert imported_for_type_checkers() == {
        home: tuple(sorted(names)) for home, names in nupic_client._HOMES.items()
    }


def test_no_name_has_two_homes():
    assert len(nupic_client._HOME_OF) == sum(map(len, nupic_client._HOMES.values()))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_can_be_loaded(name):
    assert getattr(nupic_client, name) is getattr(
        importlib.import_module(f"nupic_client.{nupic_client._HOME_OF[name]}"), name
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_public_in_its_module(name):
    module = importlib.import_module(f"nupic_client.{nupic_client._HOME_OF[name]}")
    assert name in module.__all__


@pytest.mark.parametrize("name", sorted({*NAMES} - ALIASES))
def test_a_public_name_has_a_text(name):
    text = inspect.getdoc(getattr(nupic_client, name))
    assert text
    assert text.strip().splitlines()[0].endswith((".", ":", "?"))


def is_class(value):
    return inspect.isclass(value) and not typing.get_args(value)  # for Python 3.10 list[int] is a class


def exported():
    """Return package, name and value of every public class and function."""
    for package in map(importlib.import_module, _public.PACKAGES):
        for name in package.__all__:
            value = getattr(package, name)
            if is_class(value) or inspect.isfunction(value):
                yield package.__name__, name, value


def public_path(package, name):
    """Return the package to import a name from, where several export it."""
    if name in nupic_client.__all__:
        return "nupic_client"
    return "nupic_client.local" if name in {*local.__all__} else package


@pytest.mark.parametrize(("package", "name", "value"), list(exported()))
def test_a_public_name_says_where_to_import_it_from(package, name, value):
    if name == "RecordedRequest":
        name = "EngineRequest"
    assert (value.__module__, value.__qualname__) == (public_path(package, name), name)
    assert pickle.loads(pickle.dumps(value)) is value


OWN = {value: home for value, home in _public.HOMES.items() if home.startswith(f"{value.__module__}.")}
"""Without what one package has and another one exports."""


@pytest.mark.parametrize("home", sorted(set(OWN.values())))
def test_where_to_import_a_name_from_does_not_depend_on_what_was_imported_first(home):
    names = sorted(value.__name__ for value, its_home in OWN.items() if its_home == home)
    code = (
        f"import sys, {home}; from nupic_client._public import PACKAGES;"
        f"print([name for name in {names} if vars(sys.modules[{home!r}])[name].__module__ not in PACKAGES])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("kind", "name", "annotation"),
    [
        (nupic_client.Generation, "usage", nupic_client.Usage),
        (nupic_client.Generation, "finish_reason", nupic_client.FinishReason | None),
        (nupic_client.ModelInfo, "parts", nupic_client.ModelName),
        (nupic_client.TLS, "target_name", str | None),
        (nupic_client.Timeouts, "total", float | None),
        (nupic_client.GenerateOptions, "max_tokens", int | None),
        (nupic_client.GenerateOptions, "signature", nupic_client.ModelSignature | None),
        (nupic_client.InferOptions, "parameters", options.Parameters | None),
        (nupic_client.StreamingClient.generate, "return", nupic_client.Generation),
        (nupic_client.StreamingClient.stream, "prompt", nupic_client.Prompt),
        (nupic_client.InferenceClient.map, "return", nupic_client.ResultStream[typing.Any]),
        (local.ServerLimits, "read_timeout", float | None),
    ],
)
def test_the_annotations_of_a_public_class_can_be_resolved(kind, name, annotation):
    """Libraries that make forms or checks of dataclasses ask for them."""
    assert typing.get_type_hints(kind)[name] == annotation


def with_members(value):
    """Return a class or function, and the methods and properties that our classes give it."""
    yield value
    for kind in getattr(value, "__mro__", ()):
        for name, what in vars(kind).items() if kind.__module__.startswith("nupic_client") else ():
            what = getattr(what, "__func__", None) or getattr(what, "fget", None) or what
            if inspect.isfunction(what) and (not name.startswith("_") or name.endswith("__")):
                yield what


@pytest.mark.parametrize(("package", "name", "value"), list(exported()))
def test_the_hints_of_a_public_name_can_be_read(package, name, value):
    """Libraries that make forms, commands, tools or checks of functions and classes ask for them."""
    for each in with_members(value):
        typing.get_type_hints(each)


@pytest.mark.parametrize(
    "kind", [pytest.param(value, id=name) for _, name, value in exported() if dataclasses.is_dataclass(value)]
)
def test_the_fields_of_a_public_dataclass_can_be_resolved_from_anywhere(kind):
    """pydantic looks their names up in the module that ``__module__`` names, which is the package."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        reader = type("Reader", (), {"__annotations__": {"it": field.type}})
        assert typing.get_type_hints(reader)["it"] == hints[field.name]


def test_the_names_for_types_are_types():
    assert set(typing.get_args(nupic_client.Event)) == {
        *(nupic_client.TextDelta, nupic_client.ReasoningDelta, nupic_client.Finished),
        *(nupic_client.ToolCallStarted, nupic_client.ToolArguments, nupic_client.ToolCall),
    }
    for name in ALIASES:
        assert typing.get_args(getattr(nupic_client, name)), name


def public_members():
    for name in NAMES:
        value = getattr(nupic_client, name)
        if is_class(value):
            for member, what in vars(value).items():
                if not member.startswith("_") and (
                    inspect.isfunction(what) or isinstance(what, (property, classmethod))
                ):
                    yield f"{name}.{member}", what


@pytest.mark.parametrize("what", [pytest.param(what, id=name) for name, what in public_members()])
def test_a_public_member_has_a_text(what):
    assert inspect.getdoc(what)


def test_the_embedded_server_is_public():
    assert "LocalServer" in nupic_client.__all__


def test_dir_has_every_public_name():
    assert set(nupic_client.__all__) <= set(dir(nupic_client))


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nupic_client' has no attribute 'Nope'"):
        _ = nupic_client.Nope


def test_star_gives_the_public_names():
    names = {}
    exec("from nupic_client import *", names)
    assert set(nupic_client.__all__) <= set(names)


def test_every_error_of_the_tree_is_public():
    assert set(errors.__all__) <= set(nupic_client.__all__)


def modules():
    for module in pkgutil.walk_packages(nupic_client.__path__, "nupic_client."):
        # Integrations need their extras; their own tests import them.
        if not re.search(r"\.cli|\.integrations\.|\.fixtures$|__main__$", module.name):
            yield module.name


@pytest.mark.parametrize("name", list(modules()))
def test_what_a_module_declares_public_is_there(name):
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", ()):
        assert hasattr(module, public), f"{name}.{public}"


@pytest.mark.slow
def test_the_types_accept_right_uses_and_refuse_wrong_ones(tmp_path):
    pytest.importorskip("mypy")
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "--follow-imports=silent"),
            *("--config-file", str(root / "pyproject.toml"), "--cache-dir", str(tmp_path / "cache")),
            str(root / "tests" / "typing" / "api.py"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "Success: no issues found in 1 source file\n")


STREAMS = {
    "TextStream": {"cancel", "close", "closed", "events", "partial", "request_id", "result", "text"},
    "AsyncTextStream": {"aclose", "cancel", "closed", "events", "partial", "request_id", "result", "text"},
    "InferenceStream": {"cancel", "close", "closed", "request_id", "results"},
    "AsyncInferenceStream": {"aclose", "cancel", "closed", "request_id", "results"},
    "ResultStream": {"cancel", "close"},
    "AsyncResultStream": {"aclose", "cancel"},
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_shows_only_what_is_for_its_user(name):
    kind = getattr(nupic_client, name)
    shown = {member for member in dir(kind) if not member.startswith("_")}
    assert shown == STREAMS[name]
    assert all(inspect.getdoc(getattr(kind, member)) for member in shown)
