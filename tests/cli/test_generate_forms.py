"""`nupic-client generate`: JSON of a schema, images and reasoning."""

import base64
import json
import sys

import pytest
from backends.signatures import VLLM
from cli.processes import CLI, Terminal, run_cli

from nupic_client.testing import FakeTriton, Reply, silence

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "inhabitants": {"type": "integer"}},
    "required": ["name", "inhabitants"],
    "additionalProperties": False,
}
CITY = {"name": "Zürich", "inhabitants": 450000}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
THOUGHT = "<think>\nA city\x1b]0;title\x07.\n</think>\n\nParis."


@pytest.fixture
def vllm():
    with FakeTriton(models=[VLLM]) as server:
        yield server


@pytest.fixture
def schema(tmp_path):
    file = tmp_path / "city.json"
    file.write_text(json.dumps(SCHEMA))
    return str(file)


@pytest.fixture
def generate(main, capsys):
    """Generate in this process; return the exit code, stdout and stderr."""

    def generate(server, *arguments):
        code = main("generate", "--url", server.url, *arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return generate


def test_stdout_is_the_json_and_the_server_is_told(generate, vllm, schema):
    vllm.reply = [json.dumps(CITY, indent=2)]
    code, out, _ = generate(vllm, "--model", VLLM.name, "--json-schema", schema, "A city?")
    assert code == 0
    assert out == '{"name": "Zürich", "inhabitants": 450000}\n'
    assert "inhabitants" in vllm.requests[0].inputs["sampling_parameters"]


def test_json_has_the_value_too(generate, vllm, schema):
    vllm.reply = [json.dumps(CITY)]
    code, out, _ = generate(vllm, "--model", VLLM.name, "--json-schema", schema, "--json", "A city?")
    assert (code, json.loads(out)["parsed"]) == (0, CITY)


def test_a_server_that_cannot_is_an_error_that_names_the_way_out(generate, server, schema):
    code, out, err = generate(server, "--json-schema", schema, "A city?")
    assert (code, out) == (2, "")
    assert err.startswith("nupic-client: error: --json-schema: model 'smollm2.streaming' (backend ")
    assert err.endswith(", or set --enforce validate to have the client check the answer and ask again\n")
    assert not server.requests


def test_validate_asks_again_and_takes_the_fence_off(generate, server, schema):
    answers = iter([["I do not know."], ["```json\n", json.dumps(CITY), "\n```"]])
    server.reply = lambda _request: next(answers)
    code, out, err = generate(server, "--json-schema", schema, "--enforce", "validate", "--quiet", "A city?")
    assert (code, json.loads(out), err) == (0, CITY, "")
    assert len(server.requests) == 2


def test_an_answer_that_does_not_fit_is_no_output(generate, server, schema):
    server.reply = [json.dumps({"name": 5, "inhabitants": "\x1b]0;many\x07\x9b"}, ensure_ascii=False)]
    code, out, err = generate(server, "--json-schema", schema, "--enforce", "validate", "A city?")
    assert (code, out) == (1, "")
    first, *others = err.splitlines()
    assert "does not have the form of --json-schema: " in first
    assert "violations" not in first
    assert len(others) == 1
    assert "\x1b" not in err


def test_an_answer_that_is_cut_names_the_option(generate, server, schema):
    server.reply = Reply(['{"name": "Zür'], finish_reason="length")
    code, out, err = generate(server, "--json-schema", schema, "--enforce", "validate", "A city?")
    assert (code, out) == (1, "")
    assert "give a larger --max-tokens" in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        (b"{", "must be JSON: "),
        (b"\xff\xfe{", "must be "),
        (b"[1, 2]", "must be a JSON Schema, a JSON object, not [1, 2]"),
        (b"[" * 100_000, "must be "),
        (b'{"type": "strnig"}', "strnig"),
        (b'{"type": "object", "patternProperties": {"[": {}}}', "patternProperties"),
    ],
)
def test_a_bad_schema_file(generate, server, tmp_path, content, words):
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_bytes(content)
    code, out, err = generate(server, "--json-schema", str(file), "--enforce", "validate", "A city?")
    assert (code, out) == (2, "")
    assert err.startswith("nupic-client: error: --json-schema")
    assert words in err
    assert not server.requests


def test_enforce_alone(generate, server):
    code, _, err = generate(server, "--enforce", "validate", "A city?")
    assert (code, err) == (
        2,
        "nupic-client: error: --enforce must be given with --json-schema, whose file it is about\n",
    )


def test_images_come_before_the_prompt(generate, vllm, tmp_path):
    file = tmp_path / "cat.png"
    file.write_bytes(PNG)
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    options = ["--model", VLLM.name, "--formatter", "qwen2-vl", "--system", "Be brief."]
    code, _, _ = generate(vllm, *options, "--image", str(file), "--image", data, "What is this?")
    assert code == 0
    request = vllm.requests[0]
    assert request.inputs["image"] == [base64.b64encode(PNG).decode()] * 2
    assert "<|vision_end|>What is this?<|im_end|>" in request.prompt
    assert "Be brief." in request.prompt


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("no-such-file.png", "--image: the image 'no-such-file.png' cannot be read: No such file"),
        ("ftp://example.org/cat.png", "--image: an image must be a path, an http(s) url or a data URI"),
        (__file__, "--image: the image "),
    ],
)
def test_wrong_images(generate, vllm, image, words):
    options = ["--model", VLLM.name, "--formatter", "qwen2-vl"]
    code, out, err = generate(vllm, *options, "--image", image, "What is this?")
    assert (code, out) == (2, "")
    assert words in err
    assert "media_type" not in err  # of Python
    assert not vllm.requests


def test_an_image_needs_a_model_that_sees_and_a_known_format(generate, server):
    url = "https://example.org/cat.png"
    assert generate(server, "--image", url, "What is this?")[0] == 2
    code, _, err = generate(server, "--model", "gpt.streaming", "--image", url, "What is this?")
    assert (code, "give --formatter" in err) == (2, True)
    code, _, err = generate(server, "--raw", "--image", url, "What is this?")
    assert (code, "--raw must not be given with" in err) == (2, True)
    assert not server.requests


THINKS = ["--model", "gpt.streaming", "--formatter", "qwen3", "--quiet"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], "Paris.\n"),
        (["--reasoning", "hide"], "Paris.\n"),
        (["--reasoning", "show"], "A city\x1b]0;title\x07.\n\nParis.\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_reasoning_in_a_pipe(server, options, expected, size):
    server.reply = [THOUGHT[start : start + size] for start in range(0, len(THOUGHT), size)]
    finished = run_cli("generate", "--url", server.url, *THINKS, *options, "A city?")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, expected, "")
    finished = run_cli("chat", "--url", server.url, *THINKS, *options, stdin=b"A city?\n")
    assert (finished.returncode, finished.stdout) == (0, expected)


@pytest.mark.parametrize(("option", "expected"), [("show", "Hm.\n\nParis.\n"), ("hide", "Paris.\n")])
def test_reasoning_is_looked_for_where_it_is_asked_about(generate, server, option, expected):
    server.reply = ["<think>\nHm.\n</think>\n\nParis."]
    assert generate(server, "--quiet", "--reasoning", option, "A city?")[1] == expected
    raw = ["--model", "gpt.streaming", "--reasoning", option, "--raw"]
    assert generate(server, "--quiet", *raw, "A city?")[1] == "<think>\nHm.\n</think>\n\nParis.\n"


def test_json_has_the_reasoning(generate, server):
    server.reply = [THOUGHT]
    code, out, _ = generate(server, *THINKS, "--json", "--reasoning", "show", "A city?")
    generation = json.loads(out)
    assert (code, generation["text"]) == (0, "Paris.")
    assert generation["reasoning"].startswith("A city")


def test_reasoning_before_json(generate, server, schema):
    server.reply = [f"<think>\nA big one.\n</think>\n\n{json.dumps(CITY)}"]
    options = [*THINKS, "--json-schema", schema, "--enforce", "validate"]
    assert json.loads(generate(server, *options, "A city?")[1]) == CITY
    code, out, _ = generate(server, *options, "--reasoning", "show", "A city?")
    thought, value = out.split("\n\n")
    assert (code, thought, json.loads(value)) == (0, "A big one.", CITY)


@posix
@pytest.mark.parametrize("command", ["generate", "chat"])
def test_reasoning_is_dimmed_on_a_terminal_and_cannot_control_it(server, command):
    server.reply = [THOUGHT]
    words = ["A city?"] if command == "generate" else []
    command = [*CLI, command, "--url", server.url, *THINKS, "--reasoning", "show", *words]
    with Terminal(command, TERM="xterm") as terminal:
        if not words:
            terminal.screen.wait_for(">>> ")
            terminal.type("A city?\n")
        terminal.screen.wait_for("\n\nParis.\n")
        if not words:
            terminal.screen.wait_for(">>> ", count=2)
            terminal.type("\x04")
        assert terminal.wait() == 0
    text = terminal.screen.text
    assert "\x1b[2mA city␛]0;title␇.\x1b[0m\n\nParis.\n" in text
    assert "\x1b]" not in text


@posix
def test_reasoning_without_colours_and_stopped(server):
    server.reply = ["<think>\n", "So many", silence()]
    command = [*CLI, "generate", "--url", server.url, *THINKS, "--reasoning", "show", "A city?"]
    with Terminal(command, NO_COLOR="1") as terminal:
        terminal.screen.wait_for("So many")
        terminal.type("\x03")
        assert terminal.wait() == 130
    assert "\x1b" not in terminal.screen.text
    assert "Traceback" not in terminal.screen.text
