"""Who is let in by the real Triton, what it does not offer, and what it says when it is asked too much."""

from __future__ import annotations

import threading

import grpc
import pytest
from local.certificates import OTHER_AUTHORITY, ROOTS, pair

from nupic_client import (
    TLS,
    ConnectionFailedError,
    InferenceClient,
    OverloadedError,
    ServerClient,
    StreamingClient,
)
from nupic_client._core.kserve import wire
from nupic_client.local import ExposedServerWarning, ServerTLS, TritonServer, text_signature
from nupic_client.local.engines.weights import locate_weights
from nupic_client.local.triton.config import config_text
from nupic_client.local.triton.process import TritonProcess

pytestmark = [
    pytest.mark.model,
    pytest.mark.usefixtures("needs_triton"),
    pytest.mark.timeout(300, func_only=True),
]


@pytest.fixture(scope="module")
def weights():
    return locate_weights()


@pytest.fixture(scope="module", params=["TLS", "mutual TLS"])
def secured(weights, request):
    """A server with TLS, on every address of this machine; and what a client needs to be let in."""
    request.getfixturevalue("needs_triton")
    mutual = request.param == "mutual TLS"
    tls = ServerTLS(**pair(), client_authorities=ROOTS if mutual else None)
    expected = (
        "with a certificate of an authority" if mutual else "CAN USE IT: TLS is on, but no token is wanted"
    )
    with pytest.warns(ExposedServerWarning, match=expected):
        server = TritonServer(expose=True, tls=tls, context=256, model_path=weights).start()
    yield server, TLS(root_certificates=ROOTS, **(pair("me@example.com") if mutual else {}))
    server.stop()


def test_a_client_with_the_right_certificates_is_let_in(secured):
    server, tls = secured
    assert server.url.startswith("grpcs://127.0.0.1:")
    with StreamingClient("smollm2", server.url, tls=tls) as client:
        assert client.generate("Hi", max_tokens=3).text


def test_others_are_not(secured):
    server, tls = secured
    stranger = {**pair("me@example.com", authority=OTHER_AUTHORITY)} if tls.private_key else {}
    roots = ROOTS if tls.private_key else OTHER_AUTHORITY.cert_pem.bytes()
    with ServerClient(server.url, tls=TLS(root_certificates=roots, **stranger)) as client:
        with pytest.raises(ConnectionFailedError):
            client.models()
    with ServerClient(server.url.removeprefix("grpcs://")) as client:
        with pytest.raises(ConnectionFailedError, match="may want TLS"):
            client.models()


@pytest.fixture(scope="module")
def plain(weights, request):
    request.getfixturevalue("needs_triton")
    with TritonServer(context=256, model_path=weights) as server:
        yield server


def status_of(url, name, message):
    with grpc.insecure_channel(url) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{name}")
        with pytest.raises(grpc.RpcError) as caught:
            call(message.SerializeToString(), timeout=30)
    return caught.value.code().name, caught.value.details()


CLOSED = {
    "TraceSetting": wire.pb.TraceSettingRequest(),
    "LogSettings": wire.pb.LogSettingsRequest(),
    "SystemSharedMemoryStatus": wire.pb.SystemSharedMemoryStatusRequest(),
    "SystemSharedMemoryRegister": wire.pb.SystemSharedMemoryRegisterRequest(name="a", key="/x", byte_size=1),
    "CudaSharedMemoryRegister": wire.pb.CudaSharedMemoryRegisterRequest(name="a", byte_size=1),
}


@pytest.mark.parametrize("name", CLOSED)
def test_what_reaches_files_and_memory_is_closed(plain, name):
    code, text = status_of(plain.url, name, CLOSED[name])
    assert (code, text[:29]) == ("UNAVAILABLE", "This protocol is restricted, ")


def test_models_are_not_loaded_on_request(plain):
    message = wire.pb.RepositoryModelLoadRequest(model_name="smollm2-embed")
    message.parameters["config"].string_param = '{"backend": "python"}'
    message.parameters["file:1/model.py"].bytes_param = b"import os"
    code, text = status_of(plain.url, "RepositoryModelLoad", message)
    assert (code, text) == (
        "UNAVAILABLE",
        "explicit model load / unload is not allowed if polling is enabled",
    )


SLOW_MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        while not os.path.exists(os.environ["NUPIC_TEST_GO"]):
            time.sleep(0.01)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([b"x"], dtype=object))])
            for _ in requests
        ]
"""


def test_a_queue_that_is_full_is_an_error_that_is_worth_another_try(tmp_path):
    signature = text_signature("slow", decoupled=False, options=[])
    (tmp_path / "models" / "slow" / "1").mkdir(parents=True)
    (tmp_path / "models" / "slow" / "1" / "model.py").write_text(SLOW_MODEL)
    (tmp_path / "models" / "slow" / "config.pbtxt").write_text(
        f"{config_text(signature)}dynamic_batching {{ default_queue_policy {{ max_queue_size: 1 }} }}\n"
    )
    go = tmp_path / "go"
    process = TritonProcess(tmp_path / "models", environment={"NUPIC_TEST_GO": str(go)})
    with process as server, InferenceClient("slow", server.url, max_retries=0) as client:
        outcomes, refused = [], threading.Semaphore(0)

        def ask():
            try:
                outcomes.append(client.infer("hi").only.tolist())
            except OverloadedError as error:
                outcomes.append(error)
                refused.release()

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        came = refused.acquire(timeout=60)
        go.touch()
        for thread in threads:
            thread.join()
    assert came, outcomes
    errors = [outcome for outcome in outcomes if isinstance(outcome, OverloadedError)]
    assert {(error.status, error.retryable) for error in errors} == {("UNAVAILABLE", True)}
    assert "Exceeds maximum queue size" in str(errors[0])
    assert ["x"] in outcomes
