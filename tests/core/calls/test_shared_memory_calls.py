"""Registration of shared memory, driven by hand."""

from __future__ import annotations

import pytest

from nupic_client import ConfigurationError, CudaSharedMemory, RequestRejectedError, SystemSharedMemory
from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.shared_memory_calls import SharedMemoryCalls
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.error_messages import error_from_message

pb = wire.pb
ASK = SharedMemoryCalls(7.0, (("a", "b"),))


def sent(flow):
    call = next(flow)
    assert (call.timeout, call.metadata) == (7.0, (("a", "b"),))
    return call.method, call.request


def answered(flow, response):
    next(flow)
    with pytest.raises(StopIteration) as stop:
        flow.send(response)
    return stop.value.value


def test_what_is_sent():
    assert sent(ASK.register_system("a", "/k", 10, 2)) == (
        "SystemSharedMemoryRegister",
        pb.SystemSharedMemoryRegisterRequest(name="a", key="/k", offset=2, byte_size=10),
    )
    assert sent(ASK.register_cuda("a", b"handle", 10, 1)) == (
        "CudaSharedMemoryRegister",
        pb.CudaSharedMemoryRegisterRequest(name="a", raw_handle=b"handle", device_id=1, byte_size=10),
    )
    for flow, method in [
        (ASK.system, "SystemSharedMemoryStatus"),
        (ASK.cuda, "CudaSharedMemoryStatus"),
    ]:
        assert sent(flow("a")) == (method, getattr(pb, f"{method}Request")(name="a"))
        assert sent(flow("")) == (method, getattr(pb, f"{method}Request")())


def unregister(flow, *outcomes):
    """Drive an unregistration whose calls end in these ways; return the calls."""
    calls, waiting = [], list(outcomes)
    command = next(flow)
    with pytest.raises(StopIteration):
        while True:
            if isinstance(command, Invoke):
                calls.append(command)
                outcome = waiting.pop(0)
                command = flow.throw(outcome) if isinstance(outcome, Exception) else flow.send(outcome)
            else:
                command = flow.send(0.5)  # a clock reading, a random number, the end of a pause
    return calls


IN_USE = error_from_message("Cannot unregister shared memory region 'a', it is currently in use.")


@pytest.mark.parametrize("kind", ["System", "Cuda"])
@pytest.mark.parametrize("name", ["a", ""])
def test_unregistering_waits_for_a_request_that_has_just_ended(kind, name):
    method = f"{kind}SharedMemoryUnregister"
    flow = getattr(ASK, f"unregister_{kind.lower()}")(name)
    calls = unregister(flow, IN_USE, IN_USE, getattr(pb, f"{method}Response")())
    assert [call.method for call in calls] == [method] * 3
    assert calls[-1].request == getattr(pb, f"{method}Request")(name=name)
    assert calls[-1].metadata == (("a", "b"),)


def test_unregistering_gives_up():
    with pytest.raises(RequestRejectedError, match="a request uses this region"):
        unregister(ASK.unregister_system("a"), *[IN_USE] * 20)


def test_what_is_answered():
    response = pb.SystemSharedMemoryStatusResponse()
    response.regions["b"].name, response.regions["b"].key, response.regions["b"].byte_size = "b", "/k", 7
    response.regions["a"].name, response.regions["a"].offset = "a", 3
    found = answered(ASK.system(""), response)
    assert list(found) == ["a", "b"]
    assert found["b"] == SystemSharedMemory(name="b", key="/k", offset=0, byte_size=7)
    assert found["a"].offset == 3
    response = pb.CudaSharedMemoryStatusResponse()
    response.regions["a"].name, response.regions["a"].device_id, response.regions["a"].byte_size = "a", 1, 7
    assert answered(ASK.cuda(""), response) == {"a": CudaSharedMemory(name="a", device_id=1, byte_size=7)}


@pytest.mark.parametrize(
    ("flow", "parameter"),
    [
        (lambda: ASK.register_system("", "/k", 10, 0), "name"),
        (lambda: ASK.register_system("a", "", 10, 0), "key"),
        (lambda: ASK.register_system("a", 5, 10, 0), "key"),
        (lambda: ASK.register_system("a", "/k", 0, 0), "byte_size"),
        (lambda: ASK.register_system("a", "/k", 1.5, 0), "byte_size"),
        (lambda: ASK.register_system("a", "/k", 10, -1), "offset"),
        (lambda: ASK.register_cuda("", b"h", 10, 0), "name"),
        (lambda: ASK.register_cuda("a", b"", 10, 0), "raw_handle"),
        (lambda: ASK.register_cuda("a", "aGVsbG8=", 10, 0), "raw_handle"),
        (lambda: ASK.register_cuda("a", b"h", 10, -1), "device_id"),
        (lambda: ASK.register_cuda("a", b"h", 0, 0), "byte_size"),
    ],
)
def test_what_cannot_be_sent(flow, parameter):
    with pytest.raises(ConfigurationError, match=f"^{parameter} must") as caught:
        next(flow())
    assert caught.value.parameter == parameter
