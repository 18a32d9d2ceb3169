"""The models in Python programs, the list of their names, and what the plugin costs the host."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import shlex
import socket
import subprocess
import sys
import time

import pytest
from needed import need

need("llm")

import llm
from pages import ROOT, run_blocks

from nupic_client import ModelSignature, TensorSpec
from nupic_client.integrations.llm import listing, register_models
from nupic_client.testing import FakeTriton, silence, text_signature

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"sunny in {city}"


async def aweather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"sunny in {city}"


@pytest.fixture(params=["sync", "async"])
def both(request):
    """Return a function that prompts a model, in both kinds of programs."""

    def ask(text, **options):
        if request.param == "sync":
            response = llm.get_model("nupic/smollm2").prompt(text, **options)
            return response.text(), response.usage(), response.json()

        async def run():
            response = llm.get_async_model("nupic/smollm2").prompt(text, **options)
            return await response.text(), await response.usage(), await response.json()

        return asyncio.run(run())

    return ask


@pytest.mark.parametrize("stream", [True, False])
def test_both_kinds_agree(both, server, stream):
    text, usage, facts = both("Hello", url=server.url, stream=stream, max_tokens=50)
    (request,) = server.requests
    assert text == "You said: Hello"
    assert (usage.input, usage.output) == (len(request.prompt.split()), 3)  # the server counts words
    assert facts["request_id"] == request.request_id
    assert request.inputs["max_tokens"] == 50


def test_events(server):
    response = llm.get_model("nupic/smollm2").prompt("The weather in Rome?", tools=[weather], url=server.url)
    kinds = [event.type for event in response.stream_events()]
    assert kinds == ["tool_call_name", "tool_call_args"]
    (call,) = response.tool_calls()
    assert (call.name, call.arguments) == ("weather", {"city": "Rome"})
    assert call.tool_call_id


def test_a_chain_of_tools(server):
    chain = llm.get_model("nupic/smollm2").chain(
        "The weather in Rome?", tools=[weather], options={"url": server.url}
    )
    assert chain.text() == "sunny in Rome"


def test_an_async_chain_of_tools(server):
    async def run():
        model = llm.get_async_model("nupic/smollm2")
        return await model.chain("The weather in Rome?", tools=[aweather], options={"url": server.url}).text()

    assert asyncio.run(run()) == "sunny in Rome"


def test_many_at_once(server):
    async def run():
        model = llm.get_async_model("nupic/smollm2")
        return await asyncio.gather(
            *(model.prompt(f"number {number}", url=server.url).text() for number in range(20))
        )

    assert asyncio.run(run()) == [f"You said: number {number}" for number in range(20)]


def test_a_conversation(server):
    conversation = llm.get_model("nupic/smollm2").conversation()
    conversation.prompt("I am Ann.", system="Be brief.", url=server.url).text()
    conversation.prompt("Who am I?", url=server.url).text()
    prompt = server.requests[-1].prompt
    assert prompt.index("Be brief.") < prompt.index("You said: I am Ann.") < prompt.index("Who am I?")


def test_leaving_a_stream_cancels_it_on_the_server():
    with FakeTriton(["one", silence()], models=[text_signature("smollm2.streaming")]) as server:
        for text in llm.get_model("nupic/smollm2").prompt("Hello", url=server.url):
            assert text == "one"
            break
        gc.collect()
        server.wait_for_cancellation(timeout=30)


def test_leaving_an_async_stream_cancels_it_on_the_server():
    async def run(server):
        response = llm.get_async_model("nupic/smollm2").prompt("Hello", url=server.url)
        task = asyncio.ensure_future(response.text())
        await asyncio.to_thread(server.wait_for_requests, timeout=30)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del response, task
        gc.collect()
        await asyncio.to_thread(server.wait_for_cancellation, timeout=30)

    with FakeTriton(["one", silence()], models=[text_signature("smollm2.streaming")]) as server:
        asyncio.run(run(server))


def test_no_usage_is_no_zeros():
    models = [text_signature("smollm2.streaming", options=["max_tokens"])]
    with FakeTriton(["Hello"], models=models) as server:
        response = llm.get_model("nupic/smollm2").prompt("Hello", url=server.url)
        response.text()
    assert (response.input_tokens, response.output_tokens) == (None, None)


# --- the names


def names():
    return {each.model.model_id for each in llm.get_models_with_aliases()} & {
        "nupic/smollm2",
        "nupic/smollm2-embed",
        "nupic/other.streaming",
        "nupic/vectors",
        "nupic/tokens",
    }


def test_the_names_of_the_registry_without_a_server():
    assert names() == {"nupic/smollm2"}
    assert {each.model.model_id for each in llm.get_embedding_models_with_aliases()} >= {
        "nupic/smollm2-embed"
    }


def test_the_names_of_the_server(monkeypatch, folder):
    vectors = ModelSignature(
        "vectors", {"text": TensorSpec("text", "BYTES", (-1,))}, {"v": TensorSpec("v", "FP32", (-1,))}
    )
    tokens = ModelSignature(
        "tokens", {"text": TensorSpec("text", "BYTES", (-1,))}, {"ids": TensorSpec("ids", "INT32", (-1,))}
    )
    models = [text_signature("smollm2.streaming"), text_signature("other.streaming"), vectors, tokens]
    with FakeTriton(["Hello"], models=models) as server:
        monkeypatch.setenv("NUPIC_URL", server.url)
        assert names() == {"nupic/smollm2", "nupic/other.streaming"}  # the first one under its friendly name
        assert "nupic/vectors" in {each.model.model_id for each in llm.get_embedding_models_with_aliases()}
        assert llm.get_model("nupic/other.streaming").prompt("Hello", formatter="chatml").text() == "Hello"
        asked = len(server.metadata)
    assert names() == {
        "nupic/smollm2",
        "nupic/other.streaming",
    }  # the server is gone; the answer counts for a while
    assert asked
    assert json.loads((folder / "nupic_models.json").read_text())["url"] == server.url


def test_a_server_that_is_not_there_is_asked_once_and_shortly(monkeypatch, folder):
    """A port that takes connections and says nothing: the worst that can be."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NUPIC_URL", f"127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert names() == {"nupic/smollm2"}
        assert time.monotonic() - start < 30  # and no deadline of the client's, which are minutes
        assert json.loads((folder / "nupic_models.json").read_text())["models"] == {}
        monkeypatch.setattr(listing, "_ask", None)  # to ask again would fail
        assert names() == {"nupic/smollm2"}


@pytest.mark.parametrize("content", ["", "[]", '{"url": 1}', "\x00"])
def test_a_broken_file_of_names_is_written_anew(monkeypatch, folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "nupic_models.json").write_text(content)
    monkeypatch.setenv("NUPIC_URL", "127.0.0.1:1")
    assert names() == {"nupic/smollm2"}
    assert json.loads((folder / "nupic_models.json").read_text())["url"] == "127.0.0.1:1"


# --- the host goes on whatever is wrong here


def test_a_broken_registry_leaves_the_host_its_models(monkeypatch, tmp_path):
    (tmp_path / "models.toml").write_text("no TOML")
    monkeypatch.setenv("NUPIC_MODELS", str(tmp_path / "models.toml"))
    with pytest.warns(UserWarning, match="nupic/… are left out: .*models.toml"):
        found = llm.get_models_with_aliases()
    assert found
    assert not [each for each in found if each.model.model_id.startswith("nupic/")]


def test_an_older_host_goes_on_without_our_models(monkeypatch):
    monkeypatch.setitem(sys.modules, "llm.parts", None)
    for name in list(sys.modules):
        if name.startswith("nupic_client.integrations.llm."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("nupic_client.integrations.llm.models", raising=False)
    with pytest.warns(UserWarning, match=r"pip install 'nupic-client\[llm\]'"):
        register_models(register=lambda *_: pytest.fail("an old host has no such models"))


def test_loading_the_plugin_loads_no_grpc():
    program = (
        "import sys, nupic_client.integrations.llm as plugin\n"
        "before = {*sys.modules}\n"
        "plugin.register_models(register=print)\n"
        "print(*[name for name in sys.modules if name.partition('.')[0] in ('grpc', 'tritonclient')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *models, loaded = done.stdout.splitlines()
    assert models
    assert loaded == ""


def test_the_page_runs(server):
    run_blocks(ROOT / "docs" / "integrations" / "llm.md", server.url)


def test_the_commands_of_the_page_run(run, server, monkeypatch):
    """Those that the page shows in its blocks of shell."""
    page = (ROOT / "docs" / "integrations" / "llm.md").read_text(encoding="utf-8")
    lines = [
        line
        for block in re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if line.startswith("llm ") and "install" not in line
    ]
    assert len(lines) >= 6
    monkeypatch.setenv("NUPIC_URL", server.url)
    for line in lines:
        _, *arguments = shlex.split(line.replace("localhost:8001", server.url))
        run(*arguments, typed="Hello\nquit\n" if arguments[0] == "chat" else None)


def test_the_example_runs(server):
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "integrations" / "llm_notes.py", "--url", server.url],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "->" in done.stdout
