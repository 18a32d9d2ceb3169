"""Every example runs as a user runs it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cli.processes import Program, environment, run

from nupic_client.backends import ModelSignature, TensorSpec
from nupic_client.testing import FakeTriton, abort, competent_model, fail, silence, text_signature

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
STREAMING = EXAMPLES / "streaming" / "streaming.py"
FIGURES = re.compile(r"\n\nTime to first token: \d+\.\d\d s, \d+\.\d tokens/s\n")
posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script, signals")


@pytest.fixture
def server():
    with FakeTriton(models=[text_signature("smollm2.streaming"), text_signature("gpt.streaming")]) as server:
        yield server


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def example(path, *arguments, **options):
    return run([sys.executable, str(path), *arguments], **options)


def streaming_by_default(port):
    """The quick start, with the default url at another port, for the one it has may be in use."""
    program = (
        f"import runpy, sys, nupic_client.config as config\n"
        f"config.DEFAULT_URL = 'localhost:{port}'\n"
        f"sys.argv[:] = ['streaming.py', 'What is the capital of France?']\n"
        f"runpy.run_path({str(STREAMING)!r}, run_name='__main__')\n"
    )
    return [sys.executable, "-c", program]


def test_every_example_is_tested():
    found = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.py")}
    # Those that need other libraries are run where these are: by the tests of integrations and recipes, which name them.
    elsewhere = {name for name in found if name.startswith(("integrations/", "recipes/", "chat_app/"))}
    tests = [
        path for folder in ("integrations", "recipes") for path in (ROOT / "tests" / folder).rglob("*.py")
    ]
    named = "".join(path.read_text(encoding="utf-8") for path in tests)
    assert {name for name in elsewhere if Path(name).stem not in named} == set()
    found -= elsewhere
    assert found == {
        "agent.py",
        "async_iterator.py",
        "batch.py",
        "callback.py",
        "conversation.py",
        "embed.py",
        "fake_triton.py",
        "iterator.py",
        "map.py",
        "map_prompts.py",
        "server.py",
        "streaming/streaming.py",
    }


def test_callback(server):
    finished = example(EXAMPLES / "callback.py", "--url", server.url)
    assert finished.stdout == "Hello, world!\n4 tokens, finish reason: stop\n"
    assert server.requests[0].inputs["max_tokens"] == 50


def test_iterator(server):
    finished = example(EXAMPLES / "iterator.py", "--url", server.url, "--model", "gpt.streaming")
    assert re.fullmatch(r"Hello, world!\ntime to first token: \d\.\d{3} s\n", finished.stdout)


def test_async_iterator(server):
    finished = example(EXAMPLES / "async_iterator.py", "--url", server.url)
    stories = finished.stdout.split("Hello, world!\n\n")
    assert stories == ["Once upon a time", "In the beginning", "It was a dark night", ""]


@pytest.fixture
def embedder():
    """A server whose vectors say how often a text has an `a` and a `t`; it fails on sentence 3."""

    def vectors(request):
        texts = request.inputs["text_input"]
        texts = [texts] if isinstance(texts, str) else texts
        if any("number 3." in text for text in texts):
            return [fail("no vector for 3")]
        return [{"embedding": [float(text.count(letter)) for text in texts for letter in "at"]}]

    with FakeTriton(vectors, models=[EMBEDDING]) as server:
        yield server


EMBEDDING = ModelSignature(
    "smollm2-embed",
    inputs={"text_input": TensorSpec("text_input", "BYTES")},
    outputs={"embedding": TensorSpec("embedding", "FP32", (2,))},
    max_batch_size=8,
)


def test_embed(embedder):
    finished = example(EXAMPLES / "embed.py", "--url", embedder.url, "attat")
    assert finished.stdout.splitlines() == [
        "16.000  A cat sits on the mat.",
        "9.000  It rained all day in Rome.",
        "8.000  The stock market fell.",
    ]
    assert finished.stderr == ""


def test_map(embedder):
    finished = example(EXAMPLES / "map.py", "--url", embedder.url, "--count", "5")
    failure, count = finished.stdout.splitlines()
    assert failure.startswith("sentence 3: ")
    assert "no vector for 3" in failure
    assert count == "4 vectors"


def test_map_prompts(server):
    server.reply = lambda request: [fail("no story")] if request.prompt == "Story number 3:" else ["Once"]
    finished = example(EXAMPLES / "map_prompts.py", "--url", server.url, "--count", "5")
    failure, count = finished.stdout.splitlines()
    assert failure.startswith("prompt 3: item 3: ")
    assert "no story" in failure
    assert count == "4 stories"


def test_batch(embedder):
    answer, vectors = competent_model(), embedder.reply
    models = [text_signature("smollm2.streaming", guided=True), EMBEDDING]
    with FakeTriton(models=models) as server:
        server.reply = lambda request: (vectors if request.model == "smollm2-embed" else answer)(request)
        finished = example(EXAMPLES / "batch.py", "--url", server.url)
    call, shape = finished.stdout.splitlines()
    assert call.startswith('weather: get_weather {"city": ')
    assert shape == "vectors: 2 vectors of 2 numbers"
    assert finished.stderr == ""


def test_conversation(server):
    finished = example(EXAMPLES / "conversation.py", "--url", server.url, stdin=b"Hi\nAnd now?\n")
    assert finished.stdout == "Hello, world!\nHello, world!\n4 messages\n"
    assert "Hello, world!<|im_end|>\n<|im_start|>user\nAnd now?" in server.requests[1].prompt


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (
            "How is the weather in Paris?",
            '[weather of Paris]\n{"city": "Paris", "degrees": 21.5, "sky": "sunny"}\n',
        ),
        ('Calculate "17 * (20 + 3)" for me', "[calculate 17 * (20 + 3)]\n391\n"),
        ('Calculate "open(1)"', "[calculate open(1)]\nError: ValueError: 'open(1)' is not arithmetic\n"),
        ("Hello!", "You said: Hello!\n"),
    ],
)
def test_agent(server, question, answer):
    server.reply = competent_model("smollm2")
    finished = example(EXAMPLES / "agent.py", "--url", server.url, question)
    assert (finished.stdout, finished.returncode) == (answer, 0)


def test_agent_with_another_family(server):
    server.reply = competent_model("qwen3", reasoning=True)
    options = ("--url", server.url, "--model", "gpt.streaming", "--formatter", "qwen3")
    finished = example(EXAMPLES / "agent.py", *options, "weather in Oslo")
    assert finished.stdout.startswith("[weather of Oslo]\n")
    assert example(EXAMPLES / "agent.py", "--url", "localhost:1", "Hi").returncode == 1


def test_server(server):
    finished = example(EXAMPLES / "server.py", "--url", server.url)
    first, *models = finished.stdout.splitlines()
    assert first == "triton 2.51.0"
    assert models == [
        "gpt.streaming: READY, streams, 0 requests",
        "smollm2.streaming: READY, streams, 0 requests",
    ]


def test_fake_triton():
    finished = example(EXAMPLES / "fake_triton.py")
    assert (finished.stdout, finished.stderr) == ("2 tests passed\n", "")


def test_streaming(server):
    finished = example(STREAMING, "--url", server.url, "Hi")
    assert finished.stdout.startswith("Hello, world!\n\n")
    assert FIGURES.fullmatch(finished.stdout.removeprefix("Hello, world!"))
    assert (finished.stderr, finished.returncode) == ("", 0)
    assert "user\nHi<|im_end|>" in server.requests[0].prompt


def test_streaming_sends_a_plain_prompt_to_a_model_without_a_known_format(server):
    example(STREAMING, "--url", server.url, "--model", "gpt.streaming", "Hi")
    assert server.requests[0].prompt == "Hi"


def test_streaming_has_a_default_prompt_and_reads_the_environment(server):
    finished = example(STREAMING, NUPIC_URL=server.url)
    assert finished.returncode == 0
    assert "Why is the sky blue?" in server.requests[0].prompt


def test_streaming_of_an_empty_answer(server):
    server.reply = []
    assert example(STREAMING, "--url", server.url).stdout == ""


@posix
def test_run_sh(server):
    script = STREAMING.with_name("run.sh")
    assert os.access(script, os.X_OK)
    finished = run(["./run.sh", "--url", server.url, "Hi"], cwd=script.parent, PYTHON=sys.executable)
    assert finished.stdout.startswith("Hello, world!\n\n")
    ended = subprocess.run(
        [str(script), "--bogus"], env=environment(PYTHON=sys.executable), capture_output=True, check=False
    )
    assert ended.returncode == 2


@posix
def test_ctrl_c_cancels_on_the_server(server):
    server.reply = ["Once", silence()]
    with Program([sys.executable, str(STREAMING), "--url", server.url]) as program:
        program.stdout.wait_for("Once")
        assert program.interrupt()[0] == 130
        assert program.stderr.text == ""
    server.wait_for_cancellation()


def test_streaming_never_replaces_a_server_that_was_chosen(free_port):
    url = f"localhost:{free_port}"
    for arguments, changes in [(["--url", url], {}), ([], {"NUPIC_URL": url})]:
        finished = example(STREAMING, *arguments, **changes)
        assert (finished.stdout, finished.returncode) == ("", 1)
        assert "cannot reach the server" in finished.stderr
        assert "Traceback" not in finished.stderr


@pytest.mark.model
def test_streaming_starts_the_embedded_server_where_nothing_answers(free_port):
    finished = run(streaming_by_default(free_port))
    answer, rest = FIGURES.split(finished.stdout)
    assert answer.strip()
    assert rest == ""
    assert finished.stderr == f"Nothing answers at localhost:{free_port}: starting the embedded server.\n"
    assert finished.returncode == 0


def test_streaming_does_not_replace_a_server_that_broke_in_the_middle(server):
    server.reply = ["Once", abort("UNAVAILABLE", "Socket closed")]
    finished = run(streaming_by_default(server.url.rpartition(":")[2]))
    assert finished.stdout == "Once"
    assert "Socket closed" in finished.stderr
    assert finished.returncode == 1
