"""Responses, signatures and requests for the tests of the core, made by hand: no server anywhere."""

from __future__ import annotations

from itertools import count

from nupic_client._core.calls.flows import ReadClock
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.opening import open_stream
from nupic_client._core.generation.request import GenerationRequest, WireRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.inference.request import InferenceRequest
from nupic_client._core.kserve import message_bytes, wire
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import RequestRejectedError
from nupic_client.model_spec import ModelSpec
from nupic_client.signature import ModelSignature, TensorSpec

FINAL = wire.FINAL_PARAMETER


def raw_bytes(*elements):
    """Encode elements as the raw content of a BYTES tensor, without the code under test."""
    return b"".join(len(element).to_bytes(4, "little") + element for element in elements)


def reply(*outputs, final=None, request_id="r1", error=""):
    """Make a serialized ModelStreamInferResponse of ``(name, datatype, shape, raw)`` outputs."""
    return reply_message(*outputs, final=final, request_id=request_id, error=error).SerializeToString()


def reply_message(*outputs, final=None, request_id="r1", error=""):
    """Make a ModelStreamInferResponse, for tests that change it."""
    response = wire.pb.ModelStreamInferResponse(error_message=error)
    answer = response.infer_response
    answer.id = request_id
    for name, datatype, shape, raw in outputs:
        answer.outputs.add(name=name, datatype=datatype, shape=shape)
        answer.raw_output_contents.append(raw)
    if final is not None:
        answer.parameters[FINAL].bool_param = final
    return response


def chunk(data, *, final=None, shape=(1,), name="text_output"):
    """Make a response with a chunk of text."""
    data = data.encode() if isinstance(data, str) else data
    return reply((name, "BYTES", shape, raw_bytes(data)), final=final)


def last():
    """Make the empty final response."""
    return reply(final=True)


def error(text, request_id="r1"):
    """Make an error inside the stream."""
    return reply(error=text, request_id=request_id)


def signature(*inputs, **more):
    """Make a signature with ``text_input``, ``text_output`` and ``(name, datatype[, shape[, optional]])`` inputs."""
    specs = [TensorSpec("text_input", "BYTES")]
    for name, datatype, *rest in inputs:
        shape, optional = (*rest, *((1,), True)[len(rest) :])
        specs.append(TensorSpec(name, datatype, shape, optional))
    outputs = more.pop("outputs", (("text_output", "BYTES"),))
    return ModelSignature(
        name=more.pop("name", "llm"),
        inputs={spec.name: spec for spec in specs},
        outputs={name: TensorSpec(name, datatype) for name, datatype in outputs},
        decoupled=more.pop("decoupled", True),
        **more,
    )


def generation_request(model="llm", prompt="", *, target="host:8001", bearer=None, **options):
    """Make a request with the options of a call."""
    spec = model if isinstance(model, ModelSpec) else ModelSpec(name=model)
    return GenerationRequest(
        model=spec,
        prompt=prompt,
        options=CallOptions().override({"timeout": 10.0} | options),
        request_id="r1",
        target=target,
        bearer=bearer,
    )


def session_of(
    start=100.0, *, output_names=None, stops=(), message=None, on_end=None, extra_outputs=(), **request
):
    """Make a session whose request is ready to be sent."""
    wire_request = WireRequest(
        wire.pb.ModelInferRequest(model_name="llm") if message is None else message,
        output_names or OutputNames(cumulative=False),
        stops,
        extra_outputs,
    )
    return GenerationSession(generation_request(**request), wire_request, start, on_end=on_end)


def opened(request, *replies, models=None, **more):
    """Open a stream and return the calls that it took and the session."""
    flow = open_stream(request, ModelDirectory() if models is None else models, RequestCache())
    return ask(flow, *replies, **more)


def wire_request(request, signature, cache=None):
    """Return the request as it is sent to a model with this signature."""
    return (cache or RequestCache()).wire_request(request, signature)


def remembers(models, name="llm"):
    """Return whether the signature of a model is known."""
    return models.known(ModelSpec(name=name), CallOptions())[1] is not None


def drive(flow, *replies):
    """Run a flow: reply to each command with the next of ``replies`` (exceptions are thrown in).

    Returns:
        The commands and the result.
    """
    waiting = list(replies)
    commands = []
    try:
        command = next(flow)
        while True:
            commands.append(command)
            answer = waiting.pop(0)
            command = flow.throw(answer) if isinstance(answer, BaseException) else flow.send(answer)
    except StopIteration as stop:
        assert not waiting, f"never asked for {waiting}"
        return commands, stop.value


def ask(flow, *replies, clock=()):
    """Run a flow as `drive` does, but answer its looks at the clock from ``clock``, then always with its last reading.

    Returns:
        The other commands and the result.
    """
    readings = list(clock) or [1.0]
    waiting = list(replies)

    def answered():
        command = next(flow)
        while True:
            if isinstance(command, ReadClock):
                command = flow.send(readings.pop(0) if len(readings) > 1 else readings[0])
                continue
            commands.append(command)
            answer = waiting.pop(0)
            command = flow.throw(answer) if isinstance(answer, BaseException) else flow.send(answer)

    commands = []
    try:
        answered()
    except StopIteration as stop:
        assert not waiting, f"never asked for {waiting}"
        return commands, stop.value


# Arrays


def array_signature(inputs, outputs=None, *, optional=(), name="model", **more):
    """Make a signature of ``{name: (datatype, shape)}``; without outputs they are the inputs."""
    return ModelSignature(
        name,
        {key: TensorSpec(key, *spec, key in optional) for key, spec in inputs.items()},
        {key: TensorSpec(key, *spec) for key, spec in (inputs if outputs is None else outputs).items()},
        **more,
    )


def inference_request(model="model", *, single=True, streamed=False, **options):
    """Make a request for arrays with the options of a call; its ids are ``id-1``, ``id-2`` …"""
    numbers = count(1)
    return InferenceRequest.create(
        model if isinstance(model, ModelSpec) else ModelSpec(name=model),
        options,
        defaults=CallOptions(),
        target="host:8001",
        new_id=lambda: f"id-{next(numbers)}",
        single=single,
        streamed=streamed,
    )


def sent(call):
    """Return the ``ModelInferRequest`` that a call sends."""
    return wire.pb.ModelInferRequest.FromString(call.request)


def echo(call):
    """Answer a call with its inputs, byte for byte, under their names."""
    request = sent(call)
    response = wire.pb.ModelInferResponse(
        model_name=request.model_name, model_version="1", id=request.id, parameters=request.parameters
    )
    for item in request.inputs:
        response.outputs.add(name=item.name, datatype=item.datatype, shape=item.shape)
    response.raw_output_contents.extend(request.raw_input_contents)
    return response


def serialized_request(model, tensors, *, request_id="", **more):
    """Return a serialized ``ModelInferRequest`` as the client writes it."""
    head = wire.request_head(model, tensors, **more)
    return message_bytes.join_request(head, request_id, [tensor.contents for tensor in tensors])


def asked(commands):
    """Return the methods and the names of the models they asked for."""
    return [(command.method, getattr(command.request, "name", "")) for command in commands]


def unimplemented():
    """Make the error of a server without the call."""
    return RequestRejectedError("the server does not offer this call", status="UNIMPLEMENTED")
