"""SmolLM2 inside the real Triton: `nupic-client serve --triton`, and a conversation with it."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import pytest
from cli.processes import cli_program, run_cli

from nupic_client import Choice, InferenceClient, LocalServer, RequestRejectedError, StreamingClient, user
from nupic_client.errors import ConfigurationError, ContextLengthError, InferenceError, LocalModelError
from nupic_client.local import TritonServer
from nupic_client.local.engines.weights import locate_weights
from nupic_client.local.triton import install as installation

pytestmark = [
    pytest.mark.model,
    pytest.mark.usefixtures("needs_triton"),
    pytest.mark.timeout(300, func_only=True),
]


@pytest.fixture(scope="module")
def weights():
    return locate_weights()


@pytest.fixture(scope="module")
def triton(weights, request):
    request.getfixturevalue("needs_triton")
    with TritonServer(context=512, model_path=weights) as server:
        yield server


def test_a_conversation_from_the_command_line(weights):
    with cli_program("serve", "--triton", "--port", "0") as serving:
        said = serving.stderr.wait_for("try: ")
        url = re.search(r"serving smollm2 inside Triton at (127\.0\.0\.1:\d+) · Ctrl-C stops it\n", said)[1]
        children = psutil.Process(serving.process.pid).children(recursive=True)
        health = run_cli("health", "--url", url, "--model", "smollm2")
        assert health.returncode == 0
        assert "triton 2.51.0" in health.stdout

        options = ["--url", url, "--temperature", "0", "--max-tokens", "40", "--quiet"]
        chat = run_cli("chat", *options, stdin=b"My name is Bob.\nWhat is my name?\n")
        assert (chat.returncode, chat.stderr) == (0, "")
        assert "Bob" in chat.stdout

        # A long answer that Ctrl-C stops: the engine is free for the next one.
        with cli_program("chat", "--url", url, "--max-tokens", "1900", stdin=subprocess.PIPE) as talking:
            talking.process.stdin.write(b"Tell me a very long story.\n")
            talking.process.stdin.flush()
            talking.stdout.wait_for(" ")
            assert talking.interrupt()[0] == 130
        answer = run_cli("generate", *options, "What is the capital of France?")
        assert answer.returncode == 0
        assert "Paris" in answer.stdout

        code, _ = serving.signal(signal.SIGINT)
        assert code == 0
        assert serving.stderr.text.endswith("stopped\n")
        assert "Traceback" not in serving.stderr.text
    _, alive = psutil.wait_procs(children, 5)
    assert not alive


def test_it_answers_as_the_embedded_server_does(triton, weights):
    question = [user("What is the capital of France?")]
    with LocalServer(model_path=weights, context=512) as local:
        for name, options in (("smollm2", {"temperature": 0}), ("smollm2", {"seed": 7, "temperature": 1.0})):
            answers = []
            for url in (local.url, triton.url):
                with StreamingClient(name, url=url) as client:
                    answers.append(client.generate(question, max_tokens=30, **options))
            one, other = answers
            assert (one.text, one.usage, one.finish_reason) == (other.text, other.usage, other.finish_reason)
        vectors = []
        for url in (local.url, triton.url):
            with InferenceClient("smollm2-embed", url=url) as client:
                vectors.append(client.embed(["The cat sits.", "Grüße 🎉"]))
    assert np.array_equal(*vectors)


def test_a_prompt_that_does_not_fit_and_other_wrong_requests(triton):
    with StreamingClient("smollm2", url=triton.url) as client:
        with pytest.raises(
            ContextLengthError, match="the prompt has 1001 tokens but the context of this server holds 512"
        ):
            client.generate("word " * 1000)
        with pytest.raises(InferenceError, match="the prompt is empty"):
            client.generate("")
    with InferenceClient("smollm2-embed", url=triton.url) as client:
        with pytest.raises(
            ContextLengthError, match="text 1 has 601 tokens but this model takes at most 512"
        ):
            client.embed(["a", "word " * 600])


def test_it_starts_once_and_stops_twice(triton):
    assert triton.start() is triton
    triton.wait_until_ready(5)
    assert "smollm2.streaming" in triton.log
    assert not triton.wait(0.01)
    stopped = TritonServer()
    stopped.stop()
    assert stopped.wait()
    assert stopped.log == ""


def test_a_server_that_dies_is_told(weights):
    with TritonServer(model_path=weights) as server:
        server._process.process.kill()
        with pytest.raises(LocalModelError, match="has ended by itself; the end of its log"):
            server.wait(30)


def test_a_model_that_cannot_be_loaded_shows_the_log(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    with pytest.raises(LocalModelError, match=r"cannot load '.*broken\.gguf'"):
        TritonServer(model_path=broken).start()
    with pytest.raises(LocalModelError, match="there is no model file"):
        TritonServer(model_path=tmp_path / "nowhere.gguf").start()


def test_a_port_in_use(triton, weights):
    port = int(triton.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=r"cannot listen on 127\.0\.0\.1"):
        TritonServer(port=port, model_path=weights).start()


@pytest.mark.parametrize(("option", "value"), [("threads", 0), ("context", 1)])
def test_options_are_checked(option, value):
    with pytest.raises(ConfigurationError, match=f"{option} must be >= "):
        TritonServer(**{option: value})


def test_another_platform_is_told_at_once(monkeypatch):
    monkeypatch.setattr(installation.sys, "platform", "darwin")
    with pytest.raises(LocalModelError, match="for Linux x86_64 only"):
        TritonServer().start()


def test_an_installation_that_fails_names_the_command_that_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("NUPIC_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    seen = []
    with pytest.raises(LocalModelError, match=r"cannot be installed; is there a network.*-m pip install"):
        installation.install(lambda what, done, total: seen.append((what, done <= total)))
    assert set(seen) == {("install", True)}


def test_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NUPIC_CACHE", str(Path(tmp_path, "file")))
    with pytest.raises(LocalModelError, match=r"cannot write the real Triton to .*NUPIC_CACHE"):
        installation.install()


def test_it_holds_an_answer_to_a_form(triton):
    with StreamingClient("smollm2", url=triton.url, max_tokens=40) as client:
        assert client.parse([user("Is Rome a town?")], Choice(["yes", "no"])) in {"yes", "no"}
        pair = client.parse([user("Say something.")], tuple[Literal[3, 4], bool], seed=3)
        assert [type(item) for item in pair] == [int, bool]
        with pytest.raises(RequestRejectedError, match="cannot enforce 'not'") as caught:
            client.parse([user("Say something.")], {"not": {"type": "string"}})
        assert caught.value.status == "INVALID_ARGUMENT"
