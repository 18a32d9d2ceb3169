"""A server that ends connections because of their age, as gRPC itself words it: the canary for the words that we know."""

from __future__ import annotations

import threading
from concurrent import futures

import grpc
import pytest

from nupic_client._core.balance.meaning import Meaning, meaning_of, travels
from nupic_client._grpc.status import error_from_rpc
from nupic_client.errors import ConnectionFailedError


class Endless(grpc.GenericRpcHandler):
    """Streams that send one response and then nothing, until they are cut."""

    def __init__(self):
        self.closing = threading.Event()

    def service(self, details):
        return grpc.unary_stream_rpc_method_handler(self.stream)

    def stream(self, request, context):
        yield b"one"
        context.add_callback(self.closing.set)
        self.closing.wait(60)


@pytest.fixture
def address():
    handler = Endless()
    options = [("grpc.max_connection_age_ms", 1_000), ("grpc.max_connection_age_grace_ms", 1_000)]
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    handler.closing.set()
    server.stop(None).wait()


@pytest.mark.slow
def test_a_stream_that_is_cut_because_of_its_connections_age_says_nothing_against_the_server(address):
    """If it fails, gRPC has new words for it: `_ENDED_IN_ORDER` and `_AGED` need them, or such servers count as dead."""
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_stream("/service/stream")(b"", timeout=60)
        assert next(call) == b"one"
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
    error = error_from_rpc(caught.value, address)
    assert type(error) is ConnectionFailedError, error
    assert "because of its age" in error.message
    assert (meaning_of(error), travels(error)) == (Meaning.NOTHING, True)
