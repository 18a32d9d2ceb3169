"""The other defects of tritonclient: connections, results, errors, output, memory, installation, TLS.

The list with links is docs/explanation/defects.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.resources
import inspect
import os
import pickle
import sys
import time
import typing
import weakref
from pathlib import Path

import grpc
import psutil
import pytest
import trustme
from defects.conftest import ENDLESS

from nupic_client import (
    TLS,
    ConfigurationError,
    ConnectionFailedError,
    InferenceClient,
    InferenceError,
    NupicError,
    ServerClient,
    StreamingClient,
)
from nupic_client.testing import FakeTriton, abort, fail

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def connections(port: int) -> int:
    """Return how many connections this process has to a port of its own."""
    found = psutil.Process().net_connections("tcp")
    return sum(1 for item in found if item.status == "ESTABLISHED" and item.raddr.port == port)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS shows connections to the administrator only")
def test_t15_each_client_has_a_connection_of_its_own(server):
    """Two clients of one url share one connection, and so its limits and its failures."""
    port = int(server.url.rpartition(":")[2])
    with (
        StreamingClient("gpt.streaming", server.url) as one,
        StreamingClient("gpt.streaming", server.url) as two,
    ):
        one.generate("hi")
        before = connections(port)
        two.generate("hi")
        assert connections(port) == before + 1


def test_t16_nothing_is_printed_whatever_happens(client, server, generate, capfd):
    """``verbose`` prints whole messages, and some warnings are printed always."""
    for reply in (
        ["one"],
        ["one", fail("broken")],
        [abort("INTERNAL", "broken")],
        ["one", abort("UNAVAILABLE", "Socket closed")],
    ):
        server.reply = reply
        with contextlib.suppress(NupicError):
            generate(client, "hi")
    server.reply = ENDLESS
    with client.stream("hi") as stream:
        next(stream)
    client.close()
    with pytest.raises(ConfigurationError):
        generate(client, "hi")
    with (
        StreamingClient("gpt", "localhost:1", max_retries=0) as nowhere,
        pytest.raises(ConnectionFailedError),
    ):
        generate(nowhere, "hi")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [StreamingClient, InferenceClient, ServerClient])
def test_t17_the_public_methods_have_types_that_checkers_see(kind):
    """There are no annotations and no ``py.typed``."""
    assert (importlib.resources.files("nupic_client") / "py.typed").is_file()
    methods = [
        value for name, value in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")
    ]
    assert methods
    for method in methods:
        signature = inspect.signature(method)
        assert signature.return_annotation is not inspect.Signature.empty, method
        untyped = [name for name, item in signature.parameters.items() if item.annotation is item.empty]
        assert untyped in ([], ["self"]), method


def test_t18_an_error_can_be_pickled_and_shown(client, server, generate):
    """``InferenceServerException`` cannot be unpickled, and its repr is empty."""
    server.reply = ["one", fail("the model is tired")]
    with pytest.raises(InferenceError) as caught:
        generate(client, "hi")
    other = pickle.loads(pickle.dumps(caught.value))
    assert (str(other), other.partial_text, other.request_id) == (
        str(caught.value),
        "one",
        caught.value.request_id,
    )
    assert "the model is tired" in repr(caught.value)


def test_t19_every_way_to_an_output_gives_it(server):
    """``get_output(name, as_json=True)`` returns None."""
    with InferenceClient("gpt", server.url) as client:
        result = client.infer({"text_input": ["hi"]}, outputs=["text_output"])
    assert dict(result)["text_output"] is result["text_output"] is result.only
    assert result.only.tolist() == ["one two"]


def test_t20_a_client_that_could_not_be_made_is_silent_when_it_goes(monkeypatch):
    """``__del__`` calls ``close``: "Exception ignored in" where the constructor failed, and at the end of programs."""
    noise = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    for make in (StreamingClient, InferenceClient):
        for wrong in ({"url": "http://localhost"}, {"timeout": -1}, {"formatter": "no such family"}):
            with pytest.raises(ConfigurationError):
                make("gpt", **wrong)
        with pytest.raises(TypeError):
            make("gpt", no_such_option=1)
    gc.collect()
    assert not noise


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_t21_a_client_that_was_used_works_in_a_forked_child(server, run):
    """A forked child hangs, or fails with "Socket operation on non-socket"."""
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks of programs with threads
        from nupic_client import StreamingClient
        client = StreamingClient("gpt.streaming", url=sys.argv[1], timeout=20)
        assert client.generate("hi").text == "one two"
        pid = os.fork()
        assert client.generate("hi").text == "one two"
        if not pid:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    """
    run(program, server.url)


def test_t22_no_dependency_is_pinned():
    """Pins of grpcio, protobuf and others clash with those of other packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    limited = [item for item in project["dependencies"] if "<" in item.partition(";")[0] or "==" in item]
    # The messages that come with tritonclient were generated for this major version.
    assert [item.partition(">")[0] for item in limited] == ["protobuf"]


def test_t23_clients_that_are_made_for_each_call_leave_nothing_behind(server):
    """Each client that was made leaks memory."""
    gone = []
    for _ in range(20):
        client = StreamingClient("gpt.streaming", server.url)
        assert client.generate("hi").text == "one two"
        assert asyncio.run(client.agenerate("hi")).text == "one two"
        gone += [weakref.ref(client), weakref.ref(client._transport), weakref.ref(client._async_transport)]
        del client
    end = time.monotonic() + 10
    while any(item() is not None for item in gone):
        assert time.monotonic() < end, "a client that nobody has is kept"
        gc.collect()


def test_t25_a_chunk_of_text_costs_no_array(server, run):
    """Each token is made a numpy array, and each request is built from one."""
    program = """
        import asyncio, sys
        from nupic_client import StreamingClient
        with StreamingClient("gpt.streaming", url=sys.argv[1]) as client:
            assert client.generate("hi", max_tokens=5).text == "one two"
            asyncio.run(client.agenerate("hi"))
        print("numpy" in sys.modules)
    """
    assert run(program, server.url) == "False\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def test_t28_a_certificate_for_another_name_is_explained_and_can_be_accepted(authority, generate):
    """The name of a certificate cannot be given, and errors of TLS do not say what is wrong."""
    certificate = authority.issue_cert("gpt.example.com")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    roots = authority.cert_pem.bytes()
    with FakeTriton(["fine"], credentials=credentials) as server:
        url = f"grpcs://{server.url}"
        with StreamingClient("gpt.streaming", url, tls=TLS(root_certificates=roots)) as client:
            with pytest.raises(ConnectionFailedError, match=r"for another name.*target_name"):
                generate(client, "hi")
        named = TLS(root_certificates=roots, target_name="gpt.example.com")
        with StreamingClient("gpt.streaming", url, tls=named) as client:
            assert generate(client, "hi").text == "fine"


def test_the_hints_of_the_public_methods_can_be_read():
    assert typing.get_type_hints(StreamingClient.close) == {"return": type(None)}
