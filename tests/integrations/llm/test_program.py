"""The host's program with our models: prompts, chats, schemas, tools, images, embeddings and logs."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from needed import need

need("llm")

from backends.signatures import VLLM
from inference.tensor_server import embedder
from test_parts import PNG

from nupic_client import GenerateOptions, LocalServer
from nupic_client.integrations.llm.options import Options
from nupic_client.testing import FakeTriton, abort, competent_model, silence, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MODEL = ("-m", "nupic/smollm2")
WEATHER = '''
def get_weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"sunny in {city}"
'''


@pytest.fixture
def url(server, monkeypatch):
    monkeypatch.setenv("NUPIC_URL", server.url)
    return server.url


def test_a_prompt(run, server):
    """Without any setting but the address."""
    text = run(*MODEL, "Hello there", "-o", "url", server.url)
    assert text == "You said: Hello there\n"
    assert "Hello there" in server.requests[0].prompt


def test_the_installed_program(folder):
    """As people start it, against the embedded model."""
    program = Path(sys.executable).parent / "llm"
    with LocalServer() as server:
        command = [program, *MODEL, "Say hello.", "-o", "url", server.url, "-o", "max_tokens", "8", "-u"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip()
    assert "8 output" in done.stderr


@pytest.mark.parametrize(
    "how", [(), ("--no-stream",), ("--async",), ("--async", "--no-stream")], ids=" ".join
)
def test_the_ways(run, url, how):
    assert run(*MODEL, "Hello", *how) == "You said: Hello\n"


def test_system_prompt_and_options(run, url, server):
    options = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.75, "top_k": 3, "seed": 7, "min_p": 0.25}
    settings = [word for name, value in options.items() for word in ("-o", name, str(value))]
    run(*MODEL, "Hello", "-s", "Be brief.", *settings)
    (request,) = server.requests
    assert "<|im_start|>system\nBe brief.<|im_end|>" in request.prompt
    assert {name: request.inputs[name] for name in options} == options


def test_stop_and_json_options(run, url, server):
    assert run(*MODEL, "one two three", "-o", "stop", '["two", "four"]') == "You said: one \n"
    assert run(*MODEL, "one two three", "-o", "stop", "three") == "You said: one two \n"
    run(*MODEL, "Hello", "-o", "parameters", '{"priority": 3}')
    assert server.requests[-1].parameters["priority"] == 3


def test_every_option_of_a_generation_can_be_given():
    """But for those that the host has words of its own for, and those whose results it has no place for."""
    apart = {"tools", "response_format", "continue_final_message", "logprobs", "outputs", "signature"}
    assert GenerateOptions.__annotations__.keys() - Options.model_fields.keys() == apart


def test_options_of_the_request(run, url, server):
    run(*MODEL, "Hello", "-o", "request_id", "mine", "-o", "metadata", '{"x-team": "blue"}')
    assert server.requests[-1].request_id == "mine"
    assert server.metadata[-1]["x-team"] == "blue"
    wrong = run_failing(run, *MODEL, "Hello", "-o", "tls", '{"target_name": "gpt"}')
    assert "not secure" in str(wrong)
    wrong = run_failing(run, *MODEL, "Hello", "-o", "tls", '{"certificate": "x"}')
    assert "tls must have root_certificates" in str(wrong)
    assert run(*MODEL, "Hello", "-o", "allow_insecure_token", "true") == "You said: Hello\n"


def test_a_wrong_option_says_what_is_wrong(run, url, server):
    assert "temperature must be" in str(run_failing(run, *MODEL, "Hello", "-o", "temperature", "-1"))
    assert "nonsense" in str(run_failing(run, *MODEL, "Hello", "-o", "nonsense", "1"))
    assert "max_tokens" in str(run_failing(run, *MODEL, "Hello", "-o", "max_tokens", "many"))
    assert server.requests == ()


def run_failing(run, *arguments):
    try:
        return run(*arguments, fails=True)
    except BaseException as error:
        return error


def test_deadlines(run, monkeypatch):
    monkeypatch.delenv("LLM_RAISE_ERRORS")
    with FakeTriton(["one", silence()], models=[text_signature("smollm2.streaming")]) as server:
        monkeypatch.setenv("NUPIC_URL", server.url)
        for name, said in (
            ("timeout", "within the timeout of 0.3 s"),
            ("between_tokens_timeout", "nothing came for 0.3 s"),
        ):
            assert said in run(*MODEL, "Hello", "-o", name, "0.3", fails=True)
        server.reply = [silence()]
        text = run(*MODEL, "Hello", "-o", "first_token_timeout", "0.3", fails=True)
        assert "0.3 s" in text


def test_an_error_is_one_line(run, monkeypatch):
    monkeypatch.delenv("LLM_RAISE_ERRORS")
    with FakeTriton([abort("INVALID_ARGUMENT", "no such thing")]) as server:
        text = run("-m", "nupic/smollm2", "Hello", "-o", "url", server.url, fails=True)
    assert text.startswith("Error: ")
    assert len(text.splitlines()) == 1


def test_the_log_has_the_usage(run, url, server):
    run(*MODEL, "Hello")
    (logged,) = json.loads(run("logs", "-n", "1", "--json"))
    assert logged["model"] == "nupic/smollm2"
    assert logged["resolved_model"] == "smollm2.streaming"
    assert logged["input_tokens"] > logged["output_tokens"] == 3
    (request,) = server.requests
    facts = logged["response_json"]
    facts = json.loads(facts) if isinstance(facts, str) else facts
    assert facts["request_id"] == request.request_id
    assert facts["finish_reason"] == "stop"
    assert facts["endpoint"] == url


def test_a_conversation_goes_on(run, url, server):
    run(*MODEL, "I am Ann.", "-s", "Be brief.")
    run("Who am I?", "-c")
    prompt = server.requests[-1].prompt
    assert prompt.index("Be brief.") < prompt.index("I am Ann.") < prompt.index("You said: I am Ann.")
    assert prompt.index("You said: I am Ann.") < prompt.index("Who am I?")


def test_chat(run, url, server):
    text = run("chat", *MODEL, "-s", "Be brief.", typed="Hello\nAgain\nquit\n")
    assert "You said: Hello" in text
    assert "You said: Again" in text
    assert "You said: Hello" in server.requests[-1].prompt


def test_schema(run, url):
    value = json.loads(run(*MODEL, "Rome has 3 inhabitants", "--schema", "name, inhabitants int"))
    assert {*value} == {"name", "inhabitants"}
    assert type(value["inhabitants"]) is int


@pytest.mark.parametrize(
    "how", [(), ("--no-stream",), ("--async",), ("--async", "--no-stream")], ids=" ".join
)
def test_tools(run, url, server, how):
    text = run(*MODEL, "The weather in Oslo?", "--functions", WEATHER, *how)
    assert "sunny in Oslo" in text
    assert len(server.requests) == 2
    assert "<tool_response>" in server.requests[-1].prompt
    (logged,) = json.loads(run("logs", "-n", "1", "--json"))
    assert logged["tool_results"][0]["output"] == "sunny in Oslo"


def test_a_tool_of_the_host(run, url):
    text = run(*MODEL, "llm_version please", "-T", "llm_version", "--td")
    assert importlib.metadata.version("llm") in text


def test_tools_and_a_conversation(run, url, server):
    run(*MODEL, "The weather in Oslo?", "--functions", WEATHER)
    run("Thanks", "-c")
    prompt = server.requests[-1].prompt
    assert '"city": "Oslo"' in prompt
    assert "sunny in Oslo" in prompt


def test_tool_choice(run, url):
    """The call is forced once: an answer has to come some time."""
    text = run(*MODEL, "In Oslo", "--functions", WEATHER, "-o", "tool_choice", "get_weather", "--td")
    assert text.count("Tool call: get_weather") == 1
    assert "sunny in Oslo" in text.splitlines()


def test_an_image(run, tmp_path, monkeypatch):
    (tmp_path / "dot.png").write_bytes(PNG)
    (tmp_path / "models.toml").write_text('[models.sees]\nserver_name = "vllm_model"\nfamily = "qwen2-vl"\n')
    monkeypatch.setenv("NUPIC_MODELS", str(tmp_path / "models.toml"))
    with FakeTriton(["a dot"], models=[VLLM]) as server:
        text = run(
            "-m", "nupic/sees", "What is it?", "-a", str(tmp_path / "dot.png"), "-o", "url", server.url
        )
        (request,) = server.requests
    assert text == "a dot\n"
    assert len(request.inputs["image"]) == 1
    assert "<|image_pad|>" in request.prompt


def test_reasoning(run, tmp_path, monkeypatch):
    (tmp_path / "models.toml").write_text(
        '[models.thinks]\nserver_name = "gpt.streaming"\nfamily = "qwen3"\n'
    )
    monkeypatch.setenv("NUPIC_MODELS", str(tmp_path / "models.toml"))
    with FakeTriton(competent_model("qwen3", reasoning=True)) as server:
        for how in ((), ("--no-stream",)):
            text = run("-m", "nupic/thinks", "Hello", "-o", "url", server.url, *how)
            assert "You said: Hello" in text
        assert "I look at" in json.dumps(json.loads(run("logs", "-n", "1", "--json")))
        run("Again", "-c", "-o", "url", server.url)
    assert "You said: Hello" in server.requests[-1].prompt


def test_a_key(run, monkeypatch):
    models = [text_signature("smollm2.streaming")]
    with FakeTriton(["yes"], models=models, bearer_tokens={"secret"}) as server:
        ask = (*MODEL, "Hello", "-o", "url", server.url)
        monkeypatch.delenv("LLM_RAISE_ERRORS")
        assert "UNAUTHENTICATED" in run(*ask, fails=True)
        assert run(*ask, "--key", "secret") == "yes\n"
        monkeypatch.setenv("NUPIC_TOKEN", "secret")
        assert run(*ask) == "yes\n"
        monkeypatch.setenv("NUPIC_TOKEN", "wrong")
        run("keys", "set", "nupic", "--value", "secret")
        assert run(*ask) == "yes\n"


def test_embeddings(run, tmp_path, monkeypatch):
    (tmp_path / "models.toml").write_text('[models.vectors]\nserver_name = "embed"\n')
    monkeypatch.setenv("NUPIC_MODELS", str(tmp_path / "models.toml"))
    with embedder() as server:
        monkeypatch.setenv("NUPIC_URL", server.url)
        assert "nupic/vectors" in run("embed-models")
        assert json.loads(run("embed", "-m", "nupic/vectors", "-c", "three")) == [5.0, 1.0]
        (tmp_path / "texts.csv").write_text("id,text\n1,one\n2,three\n")
        run("embed-multi", "words", str(tmp_path / "texts.csv"), "-m", "nupic/vectors", "--store")
        assert "three" in run("similar", "words", "-c", "seven")
