"""The Python code of the README and the docs runs as it is printed, one page after the other against a server."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from pages import ROOT, blocks, run_blocks, runner

from nupic_client import ModelRegistry, ModelSpec
from nupic_client.cli import program
from nupic_client.cli.exit_codes import ExitCode
from nupic_client.local.engine import EngineRequest
from nupic_client.local.engines.scripted import ReplySource
from nupic_client.model_spec import specs_from_toml
from nupic_client.prompts import FAMILIES
from nupic_client.prompts.family import Family
from nupic_client.testing import FakeTriton, competent_model, text_signature

PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*/*.md")])


def with_code() -> list[Path]:
    return [page for page in PAGES if blocks(page) and runner(page) is None]


def test_code_that_needs_other_libraries_is_run_by_a_session_that_there_is():
    sessions = {name for page in PAGES if (name := runner(page))}
    folders = {
        path.name for name in ("integrations", "recipes") for path in (ROOT / "tests" / name).glob("*/")
    }
    others = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / "others").glob("test_*.py")}
    assert sessions <= folders | others


def test_there_is_code_to_run():
    assert ROOT / "README.md" in with_code()
    assert len(with_code()) >= 4


@pytest.fixture
def logging_as_before():
    """Undo what a page configures: loggers belong to the whole process."""
    loggers = [logging.getLogger(), logging.getLogger("nupic_client")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def structured(request: EngineRequest) -> list[str]:
    """Answer as a model that is held to a form does."""
    guide = request.inputs.get("guided_decoding_guide", "inhabitants")
    if "inhabitants" in guide:
        city = '{"name": "Rome", "inhabitants": 2800000, "kind": "capital", "sights": ["Forum"]}'
        return list(city)
    return [{"yes|no": "yes", "[A-Z]{3}-[0-9]+": "ABC-1"}.get(guide, "[1, 2, 3]")]


STORY = ["Once", " upon", " a", " time."]
REPLIES: dict[str, ReplySource] = {
    "structured-output.md": structured,
    "tools.md": competent_model("smollm2"),
    "reasoning.md": competent_model("qwen3", reasoning=True),
}
"""The replies to the requests of pages that want other ones than a story."""


@pytest.mark.slow
@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("page", with_code(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page, monkeypatch, capsys):
    models = [text_signature(name, guided=True) for name in ("smollm2.streaming", "qwen3")]
    with FakeTriton(REPLIES.get(page.name, STORY), models=models) as server:
        # The pages name the default url, on which a reader's server listens.
        monkeypatch.setenv("NUPIC_URL", server.url)
        names = run_blocks(page, server.url)
        client = names.get("client")
        if client is not None:
            client.close()


def words(page: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8")))


def test_the_table_of_families_has_every_family_as_it_is(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    families_table = importlib.import_module("families_table")
    tokens = MarkdownIt().enable("table").parse(families_table.families_table())
    cells = [
        [child.content for child in token.children if child.type in {"code_inline", "text"}]
        for before, token in itertools.pairwise(tokens)
        if before.type == "td_open"
    ]
    rows = list(zip(*[iter(cells)] * len(families_table.HEADER), strict=True))
    assert [row[0] for row in rows] == [[name] for name in FAMILIES]
    for row, formatter in zip(rows, FAMILIES.values(), strict=True):
        codes = [[text for text in cell if text != ", "] for cell in row]
        assert codes[1] == list(formatter.aliases or ["none"])
        assert codes[3] == [stop.replace("\n", r"\n") for stop in formatter.stop] or not formatter.stop
        assert codes[4] == [formatter.bos_token if formatter.prints_bos else "no"]
        answer = formatter.answer
        assert row[5][0].startswith("yes") == (answer is not None and answer.has_tool_calls)
        can = answer is not None and answer.has_reasoning
        assert row[6] == ["yes" if formatter.reasons else "on request" if can else "no"]
        assert "".join(row[7]) == formatter.description
        assert "".join(row[8]) == (formatter.source or "none needed")


def test_the_page_of_the_families_shows_the_table():
    assert "```{families-table}" in (ROOT / "docs/prompts/families.md").read_text(encoding="utf-8")
    assert '"families_table"' in (ROOT / "docs/conf.py").read_text(encoding="utf-8")


def test_the_keys_of_a_model_are_all_named():
    keys = {field.name for field in dataclasses.fields(ModelSpec)} - {"name", "hint"}
    assert keys <= words("how-to/models-and-names.md")


def test_the_fields_of_a_family_that_are_named_exist():
    text = (ROOT / "docs/prompts/adding-a-family.md").read_text(encoding="utf-8")
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named
    assert named <= {field.name for field in dataclasses.fields(Family)}


def test_the_toml_of_the_pages_describes_models():
    found = [
        (page, match)
        for page in PAGES
        for match in re.findall(
            r"^```toml\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    ]
    assert len(found) >= 2
    for page, text in found:
        assert ModelRegistry(specs_from_toml(text, str(page)))


def test_every_command_option_and_exit_code_of_the_command_line_exists():
    text = (ROOT / "docs/how-to/command-line.md").read_text(encoding="utf-8")
    codes = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert [int(code) for code in codes] == [int(code) for code in ExitCode]
    parser = program.parser()
    (commands,) = (action for action in parser._actions if isinstance(action.choices, dict))
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(commands.choices)
    options = {option for command in commands.choices.values() for option in command._option_string_actions}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= options


def commands_of(line: str) -> Iterator[list[str]]:
    """Yield the arguments of each `nupic-client` in a line of a shell."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = ""
    for operator, group in itertools.groupby(words, lambda word: set(word) <= set("();<>|&")):
        command = list(group)
        if not operator and command[0].endswith("nupic-client"):
            yield command[1:]


def shown_commands() -> list[list[str]]:
    blocks = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
    texts = [text for page in PAGES for text in blocks.findall(page.read_text(encoding="utf-8"))]
    lines = [
        line for text in texts for line in text.replace("\\\n", "").splitlines() if "nupic-client" in line
    ]
    return [command for line in lines for command in commands_of(line)]


def test_commands_are_found():
    assert list(commands_of("a 'b | nupic-client c' && .venv/bin/nupic-client d 'e|f' | jq .g")) == [
        ["d", "e|f"]
    ]
    assert len(shown_commands()) >= 15


@pytest.mark.parametrize("arguments", shown_commands(), ids=" ".join)
def test_a_command_that_is_shown_can_be_parsed(arguments):
    assert program.parser().parse_args(arguments).run
