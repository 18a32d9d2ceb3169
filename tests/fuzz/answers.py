"""Targets: what else a server says. Tensors, descriptions of models, and words of failure."""

from __future__ import annotations

import math
import pickle
import time

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from nupic_client import SamplingParams
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.arrays import DTYPES
from nupic_client._core.kserve.error_messages import error_from_message, stream_error
from nupic_client._core.kserve.output_arrays import decode_outputs
from nupic_client._core.kserve.scalar_outputs import ScalarOutputs
from nupic_client._core.kserve.signature_messages import signature_from_config, signature_from_metadata
from nupic_client._grpc.status import error_from_rpc
from nupic_client.backends import detect
from nupic_client.errors import ConfigurationError, ProtocolError, RequestError

from .choices import Choices
from .reference import explained

DATATYPES = (*DTYPES, "BYTES", "BF16", "FP8", "", "bytes")
_FIELDS = ("bool", "int", "int64", "uint", "uint64", "fp32", "fp64", "bytes")


def tensors_raw(data: bytes) -> None:
    """Any bytes that parse as a ModelInferResponse: arrays that are what they say they are, or a ProtocolError."""
    try:
        response = wire.pb.ModelInferResponse.FromString(data)
    except DecodeError:
        return
    _check(response)


def tensors(data: bytes) -> None:
    """Outputs of any type, shape and content."""
    choices = Choices(data)
    response = wire.pb.ModelInferResponse()
    for _ in range(1 + choices.below(4)):
        shape = [choices.pick((0, 1, 2, 3, -1, 2**40, 2**63 - 1)) for _ in range(choices.below(4))]
        output = response.outputs.add(
            name=choices.pick(("a", "b", "")), datatype=choices.pick(DATATYPES), shape=shape
        )
        if choices.flag():
            response.raw_output_contents.append(_raw(choices))
        elif choices.flag():
            name = choices.pick(_FIELDS)
            items = [choices.number() for _ in range(choices.below(5))]
            values = [bytes([item]) for item in items] if name == "bytes" else items
            getattr(output.contents, f"{name}_contents").extend(values)
    _check(response)


def _raw(choices: Choices) -> bytes:
    if choices.flag():
        return choices.bytes(choices.below(40))
    words = [choices.bytes(choices.below(6)) for _ in range(choices.below(5))]
    return b"".join(len(word).to_bytes(4, "little") + word for word in words)


def _check(response) -> None:
    for text in ("bytes", "str"):
        try:
            arrays = decode_outputs(response, text)
        except ProtocolError as error:
            explained(error)
            continue
        for index, output in enumerate(response.outputs):
            if [item.name for item in response.outputs].count(output.name) == 1:
                _check_array(arrays[output.name], index, output, response, text)
    for name in {output.name for output in response.outputs}:
        outputs = ScalarOutputs(response)
        for read in (outputs.text, outputs.count, outputs.numbers):
            try:
                value = read(name)
            except ProtocolError:
                continue
            if read == outputs.count:
                assert value is None or (isinstance(value, int) and value >= 0)


def _check_array(array, index, output, response, text) -> None:
    assert array.shape == tuple(output.shape)
    if output.datatype == "BYTES":
        kind = bytes if text == "bytes" else str
        assert all(isinstance(item, kind) for item in array.ravel().tolist())
        return
    wanted = np.dtype("<f4") if output.datatype == "BF16" else DTYPES[output.datatype]
    assert array.dtype == wanted
    if index < len(response.raw_output_contents):
        raw = response.raw_output_contents[index]
        sent = array.view(np.uint32).astype(np.uint32) >> 16 if output.datatype == "BF16" else array
        back = sent.astype("<u2").tobytes() if output.datatype == "BF16" else sent.tobytes()
        assert back == raw
        assert array.size == math.prod(output.shape)


def signature(data: bytes) -> None:
    """A model's description in any bytes: the backend that fits and the request to it, or a ConfigurationError."""
    choices = Choices(data)
    sampling = SamplingParams(
        max_tokens=5, temperature=0.5, top_k=3, stop=["a", "b"], seed=7, presence_penalty=1
    )
    kinds = {
        True: (wire.pb.ModelConfigResponse, lambda m: signature_from_config(m.config)),
        False: (wire.pb.ModelMetadataResponse, signature_from_metadata),
    }
    message, read = kinds[choices.flag()]
    try:
        parsed = message.FromString(choices.rest())
    except DecodeError:
        return
    found = read(parsed)
    for stream, logprobs in ((True, None), (True, 1), (False, 0)):
        try:
            backend = detect(found)
            if not found.decoupled:
                backend.refuse_streaming(found)
            inputs = backend.inputs(found, "a prompt", sampling, stream=stream, logprobs=logprobs)
            backend.output_names(found, cumulative=None, stream=stream, logprobs=logprobs)
            wire.build_infer_request(found.name, inputs, request_id="r")
        except ConfigurationError:
            continue


def error_text(data: bytes) -> None:
    """A server's words inside a stream: a typed error at once, whatever they are and however long."""
    text = data.decode(errors="replace")
    before = time.thread_time()
    error = stream_error(text)
    assert time.thread_time() - before < 10, "this text takes too long to read"
    _check_error(error, text)
    known = error_from_message(text)
    assert known is None or type(known) is type(error)


def error_status(data: bytes) -> None:
    """A failed call with any status, words and trailers."""
    choices = Choices(data)
    code = choices.pick((*grpc.StatusCode, None))
    pushback = choices.pick(("grpc-retry-pushback-ms", "other"))
    value = choices.block()
    details = choices.rest().decode(errors="replace")
    value = value if choices.flag() else value.decode(errors="replace")
    error = error_from_rpc(_Failure(code, details, ((pushback, value),)))
    _check_error(error, details)
    assert error.retry_after is None or math.isfinite(error.retry_after)


class _Failure(grpc.RpcError):
    def __init__(self, code, details, trailers) -> None:
        super().__init__()
        self.code, self.details, self.trailing_metadata = lambda: code, lambda: details, lambda: trailers


def _check_error(error: RequestError, text: str) -> None:
    assert isinstance(error, RequestError)
    assert error.server_message == text
    assert error.message.strip()
    assert len(error.message) < 10_000
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.server_message) == (type(error), str(error), text)
