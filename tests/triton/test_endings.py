"""V-F1: a call whose answer is complete ends by itself.

Triton 2.51 leaks a request whose call is cancelled just when its answer ends: the model then stays UNLOADING for ever, and
the server can no longer be stopped in time. So the evidence is that each model can be unloaded.

It also leaks one in some hundred requests whose ``execute`` raises, whatever the client does: gRPC's own call shows it, read
to its end. So the model here sends its error.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from nupic_client import InferenceError, ServerClient, StreamingClient
from nupic_client.local.triton.config import config_text
from nupic_client.testing import text_signature
from triton.server import TritonServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FAILING = """
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            error = pb_utils.TritonError("this model always fails")
            request.get_response_sender().send(pb_utils.InferenceResponse(error=error), flags=FINAL)
        return None
"""
TALKING = """
import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def response(text):
    return pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([text.encode()], np.object_))])


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            prompt = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().reshape(-1)[0].decode()
            sender = request.get_response_sender()
            if prompt == "fail":
                sender.send(response("one"))
                error = pb_utils.TritonError("this model failed")
                sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)
            elif prompt == "joined":
                sender.send(response("one"))
                sender.send(response(" two"), flags=FINAL)
            else:
                sender.send(response("one"))
                sender.send(response(" two"))
                sender.send(flags=FINAL)
        return None
"""
MODELS = {"failing": FAILING, "talking": TALKING}
GONE = 40.0
"""Seconds within which an idle model is unloaded; it mostly takes a fraction of one."""


@pytest.fixture(scope="module")
def server(needs_triton: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    repository: Path = tmp_path_factory.mktemp("endings")
    for name, code in MODELS.items():
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "1" / "model.py").write_text(code)
        (repository / name / "config.pbtxt").write_text(config_text(text_signature(name)))
    with TritonServer(repository, "--model-control-mode=explicit") as server:
        yield server


@pytest.fixture
def admin(server: TritonServer) -> Iterator[ServerClient]:
    with ServerClient(server.url) as admin:
        yield admin


def check_that_it_unloads(admin: ServerClient, model: str) -> None:
    """Unload a model and wait until it is gone, which it is only when no request is left in it."""
    admin.unload(model)
    end = time.monotonic() + GONE
    while (states := [item for item in admin.models(details=False) if item.name == model])[
        0
    ].state != "UNAVAILABLE":
        assert time.monotonic() < end, f"a request was left in the model: {states}"
        time.sleep(0.01)


def ask(client: StreamingClient, prompt: str) -> None:
    with pytest.raises(InferenceError, match="fail"):
        client.generate(prompt)


async def ask_async(client: StreamingClient, prompt: str) -> None:
    with pytest.raises(InferenceError, match="fail"):
        await client.agenerate(prompt)


def leave(client: StreamingClient, prompt: str) -> None:
    for text in client.stream(prompt):
        if text == " two":
            break


async def leave_async(client: StreamingClient, prompt: str) -> None:
    async for text in client.astream(prompt):
        if text == " two":
            break


WAYS = [
    pytest.param("failing", "x", ask, id="error-at-once"),
    pytest.param("talking", "fail", ask, id="error-after-text"),
    pytest.param("talking", "joined", leave, id="left-with-the-final-mark"),
    pytest.param("talking", "separate", leave, id="left-before-the-final-mark"),
]


CYCLES = 3
TIMES = 20
"""Answers in each cycle: each may leak, and one is enough to be seen."""


@pytest.mark.parametrize(("model", "prompt", "way"), WAYS)
def test_no_request_is_left_behind(
    server: TritonServer, admin: ServerClient, model: str, prompt: str, way: Callable[..., Any]
) -> None:
    for _ in range(CYCLES):
        admin.load(model)
        for _ in range(TIMES // 2):
            with StreamingClient(
                model, url=server.url
            ) as client:  # closed at once, which must not cancel either
                way(client, prompt)
                way(client, prompt)
        check_that_it_unloads(admin, model)


@pytest.mark.parametrize(("model", "prompt", "way"), WAYS)
def test_no_request_of_asyncio_is_left_behind(
    server: TritonServer, admin: ServerClient, model: str, prompt: str, way: Callable[..., Any]
) -> None:
    way = {ask: ask_async, leave: leave_async}[way]

    async def main() -> None:
        async with StreamingClient(model, url=server.url) as client:
            await way(client, prompt)
            await way(client, prompt)

    for _ in range(CYCLES):
        admin.load(model)
        for _ in range(TIMES // 2):
            asyncio.run(main())
        check_that_it_unloads(admin, model)
