"""`show` puts an answer into one output, whatever happens to it. Kernels run the cells; nothing of Jupyter is imitated."""

from __future__ import annotations

import ast
import asyncio
import itertools

import pytest
from needed import need

need("jupyter")

import nbformat
from integrations.jupyter.notebooks import html_of, interrupt_when_shown, outputs_of, run
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import DisplayHandle

from nupic_client import ConfigurationError, RequestError, StreamingClient, Tool, user
from nupic_client.integrations.jupyter import ashow, show, showing
from nupic_client.testing import fail, silence, sleep

# What Jupyter warns of is its business.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120), pytest.mark.filterwarnings("default")]

BEGIN = """\
from nupic_client import StreamingClient, user
from nupic_client.integrations.jupyter import ashow, show
client = StreamingClient("smollm2")"""
TEXT = "**Paris** is &lt;script>x&lt;/script> big."
PLAIN = "**Paris** is <script>x</script> big."


def markdown(output):
    assert output["output_type"] == "display_data"
    return output["data"]["text/markdown"]


def test_an_answer_is_one_output(server):
    _, [shown], [value] = run(
        BEGIN, "answer = show(client.stream([user('Hi')]))", "(answer.text, answer.model)"
    )
    text, _, stats = markdown(shown).partition("\n\n")
    assert text == TEXT
    assert stats.startswith("<small>time to first token ")
    assert stats.endswith(" · 4 tokens · stop</small>")
    assert shown["data"]["text/plain"].startswith(PLAIN)
    assert ast.literal_eval(value["data"]["text/plain"]) == (PLAIN, "smollm2.streaming")


def test_the_value_of_a_cell_is_not_shown_a_second_time(server):
    _, [shown], [again], [two] = run(
        BEGIN, "answer = show(client.stream('Hi'))\nanswer", "answer", "client.generate('Hi')"
    )
    assert markdown(shown).startswith(TEXT)
    assert again["output_type"] == two["output_type"] == "execute_result"
    assert again["data"]["text/markdown"].startswith(TEXT)
    assert two["data"]["text/markdown"].startswith(TEXT)


def test_an_async_answer_is_one_output(server):
    _, [shown], [later] = run(
        BEGIN, "await ashow(client.astream('Hi'))", "await ashow(await client.agenerate('Hi'))"
    )
    assert markdown(shown).startswith(TEXT)
    assert markdown(later).startswith(TEXT)


def test_it_can_be_without_markdown_and_figures(server):
    _, [plain], [bare] = run(
        BEGIN, "show(client.stream('Hi'), markdown=False)", "show(client.generate('Hi'), stats=False)"
    )
    assert set(plain["data"]) == {"text/plain"}
    assert plain["data"]["text/plain"].startswith(f"{PLAIN}\n\n[time to first token ")
    assert bare["data"] == {"text/plain": PLAIN, "text/markdown": TEXT}


def test_a_page_of_the_notebook_has_the_last_word_and_no_script(server):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(BEGIN), nbformat.v4.new_code_cell("show(client.stream('Hi'))")]
    )
    outputs_of(notebook)
    page = html_of(notebook)
    assert "<strong>Paris</strong> is &lt;script&gt;x&lt;/script&gt; big." in page
    assert "<script>x" not in page


def test_an_interrupt_stops_the_model_and_keeps_the_text(server):
    server.reply = ["So ", "far", *[sleep(0.05), "."] * 1000]

    _, [shown, error], [value] = run(
        BEGIN,
        "stream = client.stream('Hi')\nshow(stream)",
        "result = stream.result()\n(result.text[:6], str(result.finish_reason), client.generate('Hi', max_tokens=1).text)",
        meanwhile=interrupt_when_shown,
    )
    assert markdown(shown).startswith("So far")
    assert markdown(shown).endswith("<small>interrupted</small>")
    assert error["ename"] == "KeyboardInterrupt"
    assert ast.literal_eval(value["data"]["text/plain"]) == ("So far", "cancelled", "So ")
    assert len(server.wait_for_cancellation()) == 1


def test_an_error_keeps_the_text_and_says_why(server):
    server.reply = ["So far", fail("the model is tired")]
    _, [shown, error] = run(BEGIN, "show(client.stream('Hi'))")
    assert markdown(shown) == "So far\n\n<small>failed: InferenceError</small>"
    assert error["ename"] == "InferenceError"
    assert "the model is tired" in error["evalue"]


def test_nothing_appears_before_the_first_token(server):
    server.reply = [fail("the model is tired")]
    _, [error] = run(BEGIN, "show(client.stream('Hi'))")
    assert error["output_type"] == "error"


def test_calls_of_tools_are_shown(server):
    server.reply = ['<tool_call>\n{"name": "weather", "arguments": {"city": "<b>"}}\n</tool_call>']
    tools = """
def weather(city: str) -> str:
    "Tell the weather.

    Args:
        city: where.
    "
    return "sunny"
""".replace('"Tell', '"""Tell').replace('    "\n', '    """\n')
    _, [shown] = run(
        BEGIN.replace('"smollm2")', '"smollm2", formatter="hermes")') + tools,
        "show(client.stream([user('Hi')], tools=[weather]), stats=False)",
    )
    assert "weather({" in shown["data"]["text/plain"]
    assert "<b>" not in shown["data"]["text/markdown"]


# In a terminal, here without any shell.


@pytest.fixture
def client(server):
    with StreamingClient("smollm2") as client:
        yield client


@pytest.fixture
def no_shell():
    InteractiveShell.clear_instance()


@pytest.mark.usefixtures("no_shell")
def test_a_terminal_gets_the_text_as_it_comes(client, capsys, server):
    server.reply = ["a\x1b[31m", sleep(0.01), "\nb"]
    generation = show(client.stream("Hi"))
    assert generation.text == "a\x1b[31m\nb"
    text, _, stats = capsys.readouterr().out.rpartition("\n[")
    assert text == "a␛[31m\nb"
    assert stats.endswith("2 tokens · stop]\n")
    assert asyncio.run(ashow(client.astream("Hi"), stats=False)).text == generation.text
    assert capsys.readouterr().out == "a␛[31m\nb\n"
    show(generation, stats=False)
    assert capsys.readouterr().out == "a␛[31m\nb\n"


@pytest.mark.usefixtures("no_shell")
def test_a_terminal_shows_calls_of_tools(server, capsys):
    server.reply = ['<tool_call>\n{"name": "weather", "arguments": {"city": "\\u001b[31m"}}\n</tool_call>']
    weather = Tool(
        "weather", "Tell the weather.", {"type": "object", "properties": {"city": {"type": "string"}}}
    )
    with StreamingClient("smollm2", formatter="hermes") as client:
        show(client.stream([user("Hi")], tools=[weather]), stats=False)
    out = capsys.readouterr().out
    assert "weather({" in out
    assert "\x1b" not in out


@pytest.mark.usefixtures("no_shell")
def test_a_terminal_keeps_what_came_before_an_error(client, capsys, server):
    server.reply = ["So far", fail("tired")]
    with pytest.raises(RequestError):
        show(client.stream("Hi"))
    assert capsys.readouterr().out == "So far\n[failed: InferenceError]\n"
    with pytest.raises(RequestError):
        asyncio.run(ashow(client.astream("Hi")))
    assert capsys.readouterr().out == "So far\n[failed: InferenceError]\n"
    server.reply = [fail("tired")]
    with pytest.raises(RequestError):
        show(client.stream("Hi"))
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("no_shell")
def test_a_stream_that_is_closed_elsewhere_says_so(client, capsys, server):
    server.reply = ["So far", silence()]
    stream = client.stream("Hi")
    next(stream)
    stream.close()
    with pytest.raises(RuntimeError):
        show(stream)
    assert capsys.readouterr().out == ""


def test_what_is_no_answer_is_refused(client):
    with pytest.raises(
        ConfigurationError, match=r"answer must be a stream of client\.stream or a Generation, not str"
    ):
        show("text")
    with pytest.raises(ConfigurationError, match=r"not of astream: use await ashow"):
        show(client.astream("Hi"))
    with client.stream("Hi") as stream, pytest.raises(ConfigurationError, match=r"not of stream: use show"):
        asyncio.run(ashow(stream))


# A shell with a kernel, without the kernel: what is sent to it and when.


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def updates(monkeypatch):
    """Return what is sent to the front end, with the times of an own clock."""
    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    clock = Clock()
    monkeypatch.setattr(showing, "time", clock)
    sent = []

    class Handle(DisplayHandle):
        def update(self, bundle, **options):
            sent.append((clock.now, bundle["text/plain"]))

    def display(bundle, **options):
        sent.append((clock.now, bundle["text/plain"]))
        return Handle()

    monkeypatch.setattr(showing, "display", display)
    yield clock, sent, showing._Display(shell, markdown=True, stats=False)
    InteractiveShell.clear_instance()


def test_updates_have_a_pause_that_grows_with_the_text(updates):
    clock, sent, view = updates
    for _ in range(1000):
        view.add("x" * 10)
        clock.now += 0.01
    assert sent[0] == (100.0, "x" * 10)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(sent)]
    assert min(gaps) > 0.0499
    assert gaps[-2] > 3 * gaps[0]
    assert 40 < len(sent) < 150


def test_a_slow_front_end_gets_longer_pauses(updates):
    clock, sent, view = updates
    view.add("a")
    handle = view._handle
    update = handle.update

    def slowly(bundle, **options):
        update(bundle, **options)
        clock.now += 0.1

    handle.update = slowly
    clock.now += 1
    view.add("b")
    clock.now += 4.8
    view.add("c")
    assert len(sent) == 2
    clock.now += 0.3
    view.add("d")
    assert [text for _, text in sent] == ["a", "ab", "abcd"]
