"""The same cause is the same error on the real Triton: by stream, by call, behind ensembles, nested ones and BLS."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from nupic_client import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceClient,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    RequestError,
    RequestRejectedError,
    ServerClient,
    StreamingClient,
)
from nupic_client.local.kserve.address import free_port
from nupic_client.local.triton.config import config_text
from nupic_client.local.triton.process import TritonProcess
from nupic_client.testing import text_signature

pytestmark = [
    pytest.mark.usefixtures("needs_triton"),
    pytest.mark.timeout(300, func_only=True),
]

MODEL = """
import json, os, time
import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

class TritonPythonModel:
    def initialize(self, args):
        self.streams = json.loads(args["model_config"])["model_transaction_policy"]["decoupled"]

    def execute(self, requests):
        if not self.streams:
            return [self.answer(request) for request in requests]
        for request in requests:
            request.get_response_sender().send(self.answer(request), flags=FINAL)

    def answer(self, request):
        text = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().reshape(-1)[0].decode()
        if text == "raise":
            raise ValueError("bad thing")
        if text == "unavailable":
            error = pb_utils.TritonError("my own words", pb_utils.TritonError.UNAVAILABLE)
            return pb_utils.InferenceResponse(error=error)
        if text == "long":
            raise ValueError("The decoder prompt (length 5951) is longer than the maximum model length of 4096.")
        while text == "wait" and not os.path.exists(os.environ["NUPIC_TEST_GO"]):
            time.sleep(0.01)
        return pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([b"x"], dtype=object))])
"""
BLS = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text = pb_utils.get_input_tensor_by_name(request, "text_input")
        call = pb_utils.InferenceRequest(model_name="%s", requested_output_names=["text_output"], inputs=[text])
        response = call.exec()
        if response.has_error():
            raise pb_utils.TritonModelException(response.error().message())
        return response
"""
BROKEN = """
class TritonPythonModel:
    def initialize(self, args):
        raise RuntimeError("no weights here")
"""
ENSEMBLE = """
name: "%s"
platform: "ensemble"
input [ { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "text_output" data_type: TYPE_STRING dims: [ 1 ] } ]
ensemble_scheduling { step [ {
  model_name: "%s" model_version: -1
  input_map { key: "text_input" value: "text_input" } output_map { key: "text_output" value: "text_output" }
} ] }
"""
QUEUE = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }\n"
TIMEOUT = "dynamic_batching { default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 100000 } }\n"
MANY = "instance_group [ { count: 6 kind: KIND_CPU } ]\n"


class Repository:
    """Models in a folder, and the file that lets those go that wait."""

    def __init__(self, folder):
        self.folder = folder / "models"
        self.go = folder / "go"
        self.names = []

    def model(self, name, code, more="", *, streams=False):
        (self.folder / name / "1").mkdir(parents=True)
        (self.folder / name / "1" / "model.py").write_text(code)
        config = config_text(text_signature(name, decoupled=streams, options=[]))
        (self.folder / name / "config.pbtxt").write_text(f"{config}{more}")
        self.names.append(name)

    def ensemble(self, name, step):
        (self.folder / name / "1").mkdir(parents=True)
        (self.folder / name / "config.pbtxt").write_text(ENSEMBLE % (name, step))
        self.names.append(name)

    def serve(self, *options, **more):
        environment = {"NUPIC_TEST_GO": str(self.go)}
        return TritonProcess(self.folder, options=options, environment=environment, **more)


@pytest.fixture(scope="module")
def served(request):
    """The models of this page on one server, which loads them on request, and the port where it speaks HTTP."""
    request.getfixturevalue("needs_triton")
    folder = Path(tempfile.mkdtemp())
    models = Repository(folder)
    for kind, policy in (("queue", QUEUE), ("timeout", TIMEOUT)):
        for suffix, streams in (("", False), (".streaming", True)):
            models.model(f"{kind}{suffix}", MODEL, policy, streams=streams)
            models.ensemble(f"{kind}-ensemble{suffix}", f"{kind}{suffix}")
            models.ensemble(f"{kind}-nested{suffix}", f"{kind}-ensemble{suffix}")
        models.model(f"{kind}-bls", BLS % kind, MANY)
    load = [f"--load-model={name}" for name in models.names]
    models.model("broken", BROKEN)
    port = free_port("127.0.0.1")
    http = ("--allow-http=true", "--http-address=127.0.0.1", f"--http-port={port}")
    with models.serve("--model-control-mode=explicit", *load, *http) as server:
        yield server.url, models, f"127.0.0.1:{port}"
    shutil.rmtree(folder)


def ask(url, model, prompt):
    """Ask by a call, or for a stream where the model streams."""
    if model.endswith(".streaming"):
        with StreamingClient(model, url, max_retries=0) as client:
            return client.generate(prompt, timeout=60).text
    with InferenceClient(model, url, max_retries=0) as client:
        return client.infer(prompt, timeout=60).only.item()


def failure(url, model, prompt):
    with pytest.raises(RequestError) as caught:
        ask(url, model, prompt)
    return caught.value


SHAPES = ["", "-ensemble", "-nested", "-bls", ".streaming", "-ensemble.streaming", "-nested.streaming"]
each_shape = pytest.mark.parametrize("shape", SHAPES)


def crowd(url, models, model, pause):
    """Return the outcomes of six requests to a model that is busy for a while, or until one is refused."""
    models.go.unlink(missing_ok=True)
    outcomes, refused = [], threading.Event()

    def once():
        try:
            outcomes.append(ask(url, model, "wait"))
        except RequestError as error:
            outcomes.append(error)
            refused.set()

    threads = [threading.Thread(target=once) for _ in range(6)]
    for thread in threads:
        thread.start()
    refused.wait(60 if pause is None else pause)
    models.go.touch()
    for thread in threads:
        thread.join()
    return outcomes


@each_shape
@pytest.mark.parametrize("kind", ["queue", "timeout"])
def test_a_server_without_capacity(served, kind, shape):
    """P-F6, I-F2, P-F7: the commonest error of the standard TensorRT-LLM deployment."""
    url, models, _ = served
    # A request that has waited too long is refused when the model is free again. All must have come by then, which takes
    # longer on a busy machine.
    for pause in (0.8, 4.0, 16.0):
        outcomes = crowd(url, models, kind + shape, pause if kind == "timeout" else None)
        errors = [outcome for outcome in outcomes if isinstance(outcome, RequestError)]
        if errors:
            break
    assert {(type(error), error.retryable) for error in errors} == {(OverloadedError, True)}, errors
    words = "Exceeds maximum queue size" if kind == "queue" else "Request timeout expired"
    assert all(error.message.endswith(f": {words}") for error in errors)
    assert "x" in outcomes


@each_shape
def test_what_a_model_raises_is_shown_without_its_frames(served, shape):
    """I-F11: in a stream and by a call."""
    error = failure(served[0], f"queue{shape}", "raise")
    assert type(error) is InferenceError
    assert error.message.endswith(" failed: ValueError: bad thing")
    assert "At:\n" in error.server_message


@each_shape
def test_a_prompt_that_is_too_long(served, shape):
    """U-A21."""
    error = failure(served[0], f"queue{shape}", "long")
    assert (error.limit, error.requested, error.retryable) == (4096, 5951, False)


@pytest.mark.parametrize("shape", ["", "-ensemble", "-nested"])
def test_a_model_that_says_that_it_is_unavailable(served, shape):
    """I-F3: the server was reached."""
    error = failure(served[0], f"queue{shape}", "unavailable")
    assert (type(error), error.status, error.retryable) == (ModelUnavailableError, "UNAVAILABLE", True)
    assert error.message == "the server says that it is unavailable: my own words"


@pytest.mark.parametrize("shape", [".streaming", "-ensemble.streaming"])
def test_in_a_stream_the_status_is_lost(served, shape):
    """I-F3: Triton sends the text alone."""
    error = failure(served[0], f"queue{shape}", "unavailable")
    assert (type(error), error.message) == (InferenceError, "the model failed: my own words")


# --- loading


def test_a_model_that_does_not_load(served):
    """V-F4."""
    with ServerClient(served[0]) as client:
        with pytest.raises(
            ModelUnavailableError, match=r"could not load model 'broken': .*RuntimeError: no weights here"
        ) as caught:
            client.load("broken")
        assert "At:\n" in caught.value.server_message
        with pytest.raises(ModelUnavailableError, match="'nope': check that it is in the repository"):
            client.load("nope")
        with pytest.raises(ModelUnavailableError, match="and that the configuration is right"):
            client.load("queue", config="no json")
        with pytest.raises(DeadlineExceededError, match="goes on loading it"):
            client.load("queue", timeout=0.001)
        end = time.monotonic() + 60
        while not client.is_model_ready("queue"):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_a_server_that_does_not_load_on_request(tmp_path):
    """I-F3: each Triton does not by default."""
    models = Repository(tmp_path)
    models.model("queue", MODEL)
    with models.serve() as server, ServerClient(server.url) as client:
        for order in (client.load, client.unload):
            with pytest.raises(RequestRejectedError, match="--model-control-mode=explicit") as caught:
                order("queue")
            assert not caught.value.retryable
        assert client.is_model_ready("queue")


# --- who may ask, and the wrong port


KEY = {"triton-grpc-protocol-key": "secret"}
RESTRICTED = "health,metadata,model-repository,inference,statistics,model-config"


@pytest.fixture(scope="module")
def restricted(request):
    request.getfixturevalue("needs_triton")
    folder = Path(tempfile.mkdtemp())
    models = Repository(folder)
    models.model("queue", MODEL)
    models.model("queue.streaming", MODEL, streams=True)
    # It would not let the start look at it: `secure` says so.
    with models.serve(f"--grpc-restricted-protocol={RESTRICTED}:key=secret", secure=True) as server:
        yield server.url
    shutil.rmtree(folder)


QUESTIONS = {
    "is_live": lambda client: client.is_live(),
    "is_ready": lambda client: client.is_ready(),
    "is_model_ready": lambda client: client.is_model_ready("queue"),
    "wait_until_ready": lambda client: client.wait_until_ready("queue", timeout=100),
    "models": lambda client: client.models(),
    "statistics": lambda client: client.statistics(),
    "load": lambda client: client.load("queue"),
    "ais_live": lambda client: asyncio.run(client.ais_live()),
    "await_until_ready": lambda client: asyncio.run(client.await_until_ready(timeout=100)),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_restricted_question(restricted, question):
    """I-F3: not "no", and waiting does not help."""
    with ServerClient(restricted) as client, pytest.raises(AuthenticationError) as caught:
        QUESTIONS[question](client)
    error = caught.value
    assert (error.retryable, len(error.attempts)) == (False, 1)
    assert "This protocol is restricted, expecting header 'triton-grpc-protocol-key'" in error.message
    assert "cannot reach" not in error.message


@pytest.mark.parametrize("model", ["queue", "queue.streaming"])
def test_restricted_requests(restricted, model):
    """I-F3."""
    error = failure(restricted, model, "hi")
    assert (type(error), error.retryable) == (AuthenticationError, False)


def test_the_header_opens_it(restricted):
    with ServerClient(restricted, metadata=KEY) as client:
        assert client.is_live()
        client.wait_until_ready("queue", timeout=5)
    with InferenceClient("queue", restricted, metadata=KEY) as client:
        assert client.infer("hi").only.item() == "x"


def test_the_http_port(served):
    """P-F10, U-B5: Triton closes what is not HTTP at once."""
    with ServerClient(served[2]) as client, pytest.raises(ConnectionFailedError) as caught:
        client.models()
    assert "or this is Triton's HTTP port: give Triton's gRPC port (8001 by default)" in caught.value.message
