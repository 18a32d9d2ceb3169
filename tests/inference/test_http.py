"""`HttpInferenceClient` over a stand-in with the interface of tritonclient's HTTP client, which most do not install."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from nupic_client import (
    AuthenticationError,
    ClientFactory,
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    ProtocolError,
    RequestRejectedError,
)

CONFIGS = {
    "sbert": {
        "name": "sbert",
        "max_batch_size": 4,
        "input": [{"name": "text_input", "data_type": "TYPE_STRING", "dims": [1], "of_tomorrow": 1}],
        "output": [{"name": "embedding", "data_type": "TYPE_FP32", "dims": [2]}],
    },
    "echo": {
        "name": "echo",
        "input": [{"name": "x", "data_type": "TYPE_STRING", "dims": [-1]}],
        "output": [{"name": "x", "data_type": "TYPE_STRING", "dims": [-1]}],
    },
    "brain": {
        "name": "brain",
        "input": [{"name": "x", "data_type": "TYPE_BF16", "dims": [-1]}],
        "output": [{"name": "x", "data_type": "TYPE_BF16", "dims": [-1]}],
    },
}


class ServerError(Exception):
    def __init__(self, text, code=None):
        super().__init__(text)
        self.text, self.code = text, code

    def message(self):
        return self.text

    def status(self):
        return self.code


class Input:
    def __init__(self, name, shape, datatype):
        self.name, self.shape, self.datatype = name, shape, datatype

    def set_data_from_numpy(self, array):
        assert list(array.shape) == self.shape
        self.array = array


class Connection:
    made: ClassVar[list] = []
    failure = None
    tokens = None
    headers: ClassVar[list] = []

    def __init__(self, url, **options):
        self.url, self.options, self.requests, self.closed = url, options, [], False
        self.made.append(self)

    def get_model_config(self, name, version, headers=None):
        self.headers.append(headers)
        if self.failure:
            raise self.failure
        self.check(headers)
        if name not in CONFIGS:
            raise ServerError(f"Request for unknown model: '{name}' is not found", "400")
        return CONFIGS[name]

    def check(self, headers):
        given = (headers or {}).get("authorization", "").removeprefix("Bearer ")
        if self.tokens is not None and given not in self.tokens:
            raise ServerError(f"who is {given}?", "401")

    def infer(self, name, inputs, **options):
        self.headers.append(options["headers"])
        self.requests.append(options)
        self.check(options["headers"])
        array = inputs[0].array
        if name == "sbert":
            array = np.array([[len(text)] * 2 for text in array.ravel()], np.float32)
        output = CONFIGS[name]["output"][0]
        described = {
            "name": output["name"],
            "datatype": "BYTES" if output["data_type"] == "TYPE_STRING" else output["data_type"][5:],
        }
        response = {
            "model_name": name,
            "model_version": "1",
            "id": options["request_id"],
            "outputs": [described],
        }
        return SimpleNamespace(get_response=lambda: response, as_numpy=lambda _: array)

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def connections(monkeypatch):
    monkeypatch.setattr(Connection, "made", [])
    monkeypatch.setattr(Connection, "failure", None)
    monkeypatch.setattr(Connection, "tokens", None)
    monkeypatch.setattr(Connection, "headers", [])
    stand_in = SimpleNamespace(
        InferenceServerClient=Connection,
        InferInput=Input,
        InferRequestedOutput=lambda name: name,
        InferenceServerException=ServerError,
    )
    monkeypatch.setitem(sys.modules, "tritonclient.http", stand_in)
    return Connection.made


def client(model="sbert", url="localhost:8000", **options):
    return ClientFactory.get_client(model, url, "http", **options)


def test_infer_and_embed(connections):
    with client() as it:
        assert it.infer(["ab", "c"], request_id="me").only.tolist() == [[2, 2], [1, 1]]
        assert it.embed(["a" * n for n in range(10)])[:, 0].tolist() == list(range(10))
        assert repr(it) == "HttpInferenceClient('sbert', url='localhost:8000')"
    (connection,) = connections
    assert connection.requests[0]["request_id"] == "me"
    assert connection.requests[1]["outputs"] == ["embedding"]
    assert connection.closed
    it.close()


def test_texts_are_str_or_bytes_by_choice():
    assert client("echo").infer(["ä"]).only.tolist() == ["ä"]
    assert client("echo", text="bytes").infer(["ä"]).only.tolist() == ["ä".encode()]
    with pytest.raises(ProtocolError, match="text='bytes'"):
        client("echo").infer([b"\xff"])


def test_bfloat16_is_given_as_float32():
    array = client("brain").infer(np.float32([1.5])).only
    assert (array.dtype, array.tolist()) == (np.float32, [1.5])


def test_the_url_may_have_a_scheme(connections):
    client(url="https://host:443/base/").infer("a")
    client(url=None).infer("a")
    assert [(it.url, it.options["ssl"]) for it in connections] == [
        ("host:443/base", True),
        ("localhost:8000", False),
    ]
    with pytest.raises(ConfigurationError, match="url must be host:port"):
        client(url="grpc://host:8001")


def test_inputs_are_checked_first(connections):
    with pytest.raises(ConfigurationError, match="must have a batch size of at most 4"):
        client().infer(["a"] * 5)
    with pytest.raises(ConfigurationError, match="timeout must be given to the client over HTTP"):
        client().infer("a", timeout=1)
    assert not any(connection.requests for connection in connections)


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ServerError("what is this", "400"), RequestRejectedError),
        (ServerError("oh no"), InferenceError),
        (ConnectionRefusedError(111, "refused"), ConnectionFailedError),
        (TimeoutError("slow"), DeadlineExceededError),
    ],
)
def test_failures_are_typed(failure, error, monkeypatch):
    monkeypatch.setattr(Connection, "failure", failure)
    with pytest.raises(error) as caught:
        client().infer("a")
    assert (caught.value.model, caught.value.target) == ("sbert", "localhost:8000")


def test_an_unknown_model_is_typed():
    with pytest.raises(ModelUnavailableError):
        client("nope").infer("a")


# --- tokens

SECRET = "s3cr3t-t0k3n"
SIGNED = {"authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize("token", [SECRET, lambda: SECRET], ids=["text", "function"])
def test_a_token_goes_with_every_request(token, monkeypatch):
    monkeypatch.setattr(Connection, "tokens", {SECRET})
    client(bearer_token=token).infer("a", metadata={"x-tenant": "blue"})
    assert Connection.headers == [{"x-tenant": "blue", **SIGNED}] * 2


def test_without_a_token_there_is_no_header():
    client().infer("a")
    assert Connection.headers == [None, None]


def test_an_authorization_of_ones_own_is_left_alone():
    client(bearer_token="other").infer("a", metadata=SIGNED)
    assert Connection.headers == [SIGNED] * 2


def test_a_function_is_asked_again_when_its_token_is_refused(monkeypatch):
    tokens = iter(["f1rst", SECRET])
    it = client(bearer_token=lambda: next(tokens))
    monkeypatch.setattr(Connection, "tokens", {"f1rst"})
    it.infer("a")
    monkeypatch.setattr(Connection, "tokens", {SECRET})
    it.infer("a")
    assert [headers["authorization"][-4:] for headers in Connection.headers] == ["1rst"] * 3 + [SECRET[-4:]]


@pytest.mark.parametrize("token", [SECRET, lambda: SECRET], ids=["text", "function"])
def test_a_refused_token_is_an_error_that_does_not_show_it(token, monkeypatch):
    monkeypatch.setattr(Connection, "tokens", set())
    with pytest.raises(AuthenticationError, match="wants valid credentials: who is …") as caught:
        client(bearer_token=token).infer("a")
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    assert SECRET not in shown
    assert (caught.value.status, caught.value.server_message) == ("UNAUTHENTICATED", "who is …?")


def test_credentials_that_do_not_suffice_are_typed(monkeypatch):
    monkeypatch.setattr(Connection, "failure", ServerError("not you", "403"))
    with pytest.raises(AuthenticationError, match="do not allow it: not you") as caught:
        client(bearer_token=SECRET).infer("a")
    assert caught.value.status == "PERMISSION_DENIED"


async def fetched():
    return SECRET


@pytest.mark.parametrize(
    ("token", "words"),
    [("", "non-empty"), (f"{SECRET}\n", "must be printable ASCII"), (fetched, "not an async one")],
)
def test_what_is_no_token_is_an_error_that_does_not_show_it(token, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        client(bearer_token=token).infer("a")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", ["gpt.example:8000", "http://10.0.0.1:8000/base", "localhost.example"])
def test_a_token_does_not_go_over_a_network_in_plain_text(url):
    with pytest.raises(
        ConfigurationError, match=r"in plain text.*https://.*allow_insecure_token=True"
    ) as caught:
        client(url=url, bearer_token=SECRET)
    assert SECRET not in str(caught.value)
    client(url=url, bearer_token=SECRET, allow_insecure_token=True).close()


@pytest.mark.parametrize(
    "url", [None, "localhost", "LOCALHOST:1", "127.0.0.9:1/base", "[::1]:1", "https://gpt.example"]
)
def test_a_token_goes_to_this_machine_and_over_tls(url):
    client(url=url, bearer_token=SECRET).close()


# --- copies


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
    ids=["copy", "deep", "pickle"],
)
def test_a_copy_has_the_configuration_and_its_own_connection(copied, connections):
    original = client(bearer_token=SECRET, text="bytes", model="echo")
    original.infer("a")
    twin = copied(original)
    original.close()
    assert repr(twin) == repr(original)
    assert twin.infer("ä").only.tolist() == ["ä".encode()]
    assert Connection.headers == [SIGNED] * 4  # it asks for the model itself
    assert len(connections) == 2
    assert [it.closed for it in connections] == [True, False]


def test_no_object_shows_a_token():
    it = client(bearer_token=SECRET)
    assert SECRET not in f"{it!r}{it._bearer!r}"
