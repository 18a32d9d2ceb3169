"""Targets: a whole response stream through the session, of every backend. No connection, no clock.

Whatever comes, the session ends in exactly one way, the only exceptions are `RequestError`s, and the text is what the
reference makes of the chunks that arrived: nothing lost, nothing doubled, nothing of another request.
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import cache

from backends.signatures import BLS, BLS_ACCUMULATING, ENGINE, ENSEMBLE, LLMAPI, PLAIN, VLLM, changed
from google.protobuf.message import DecodeError

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.request import GenerationRequest, WireRequest
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.backends import TrtllmEngineBackend, detect
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import IncompleteStreamError, InferenceError, ProtocolError, RequestError
from nupic_client.model_spec import ModelSpec
from nupic_client.results import FinishReason, Generation
from nupic_client.timeouts import Timeouts

from .choices import Choices
from .reference import until_stop, whole, without_prompt
from .texts import decode_ids

PROMPT = "Tell me: é?"
REQUEST_ID = "mine"


class _Tokenizer:
    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return decode_ids(ids)


@cache
def all_output_names() -> tuple[OutputNames, ...]:
    """Where the answer stands, for every backend, as the backends themselves say it."""
    vllm, trtllm, engine = detect(VLLM), detect(ENSEMBLE), TrtllmEngineBackend(_Tokenizer())
    plans = [
        (detect(PLAIN), PLAIN, None, None, True),
        (detect(PLAIN), PLAIN, False, None, True),
        (detect(PLAIN), PLAIN, True, None, True),
        (vllm, VLLM, None, None, True),
        (vllm, VLLM, None, 2, True),
        (trtllm, ENSEMBLE, None, None, True),
        (trtllm, BLS, None, 0, True),
        (trtllm, BLS_ACCUMULATING, None, None, True),
        (trtllm, changed(ENSEMBLE, decoupled=False), None, None, False),
        (detect(LLMAPI), LLMAPI, None, None, True),
        (engine, ENGINE, None, None, True),
        (engine, ENGINE, None, 0, True),
    ]
    made = [
        backend.output_names(signature, cumulative=cumulative, stream=stream, logprobs=logprobs)
        for backend, signature, cumulative, logprobs, stream in plans
    ]
    echoing = OutputNames(cumulative=False, echo=True)
    return (*made, echoing)


def new_exchange(output_names: OutputNames, stops=(), limit: int | None = None) -> GenerationSession:
    request = GenerationRequest(
        model=ModelSpec(name="llm"),
        prompt=PROMPT,
        options=CallOptions(timeouts=Timeouts(total=10.0), max_output_bytes=limit),
        request_id=REQUEST_ID,
        target="host:8001",
    )
    return GenerationSession(request, WireRequest(None, output_names, tuple(stops)), 0.0)


def play(session: GenerationSession, responses) -> tuple[Generation | RequestError, list[str]]:
    """Read responses as the streams do; return how it ended and the chunks that the reader was given."""
    chunks: list[str] = []
    try:
        for now, response in enumerate(responses, 1):
            text = session.receive(wired(response), float(now))
            if text:
                chunks.append(text)
                session.delta(text)
            if session.stopped_early:
                session.cancelled(float(now))
                break
        else:
            session.ended(1e6)
    except RequestError as error:
        _check_failure(session, error, chunks)
        return error, chunks
    result = session.result()
    assert not session.running
    assert session.failure is None
    assert result.text == "".join(chunks) == session.text
    assert result.usage.output_tokens is None or result.usage.output_tokens >= 0
    return result, chunks


def _check_failure(session: GenerationSession, error: RequestError, chunks: list[str]) -> None:
    assert session.failure is error
    assert not session.running
    assert error.partial_text == session.text
    assert error.partial_text.startswith("".join(chunks))
    assert error.request_id
    if "max_output_bytes" in error.message:
        assert error.partial_text == "".join(chunks), "text after what was left out"
    assert len(error.message) < 10_000
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.partial_text) == (type(error), str(error), error.partial_text)


def wired(response) -> bytes:
    """Return a response as it comes from the network; None stands for bytes that are none."""
    if isinstance(response, bytes):
        return response
    return b"\xff" if response is None else response.SerializeToString()


def parse(data: bytes):
    """Return the message that was serialized as these bytes, or None."""
    try:
        return wire.pb.ModelStreamInferResponse.FromString(data)
    except DecodeError:
        return None


def stream_raw(data: bytes) -> None:
    """Frames of raw protobuf bytes: any bytes as responses, for the output_names of any backend."""
    choices = Choices(data)
    output_names = choices.pick(all_output_names())
    stops = ("<end>", "é") if choices.flag() else ()
    limit = choices.pick((None, 8, 1000))
    responses = []
    while choices.more:
        responses.append(choices.block())
    outcome, chunks = play(new_exchange(output_names, stops, limit), responses)
    delivered = sum(len(chunk.encode()) for chunk in chunks)
    # A byte that is no text becomes a replacement character of three bytes.
    assert delivered <= (3 * len(data) if limit is None else limit)
    if isinstance(outcome, Generation) and not stops:
        assert any(_is_final(parse(response)) for response in responses)


def _is_final(response) -> bool:
    parameters = response.infer_response.parameters
    return wire.FINAL_PARAMETER in parameters and parameters[wire.FINAL_PARAMETER].bool_param


@dataclass
class Answer:
    """A valid answer: its chunks as the backend sends them, and what it tells besides."""

    output_names: OutputNames
    chunks: list[bytes]
    with_last: bool
    reason: str
    omit_id: bool

    @classmethod
    def chosen(cls, choices: Choices) -> Answer:
        output_names = choices.pick(all_output_names())
        text = choices.block()
        if output_names.echo and choices.flag():
            text = PROMPT.encode() + text
        chunks = choices.cuts(text)
        if output_names.cumulative or (output_names.cumulative is None and choices.flag()):
            chunks = [b"".join(chunks[: index + 1]) for index in range(len(chunks))]
        return cls(
            output_names,
            chunks,
            with_last=choices.flag(),
            reason=choices.pick(("stop", "length", "abort", "Nonsense")),
            omit_id=choices.flag(),
        )

    def text(self, count: int) -> str:
        """The text of so many chunks, by the reference."""
        chunks = self.chunks[:count]
        if self.output_names.detokenize is not None:
            return decode_ids(b"".join(chunks))
        text = whole(chunks, cumulative=self.output_names.cumulative).decode(errors="replace")
        return without_prompt(text, PROMPT) if self.output_names.echo else text

    def responses(self) -> list:
        last = len(self.chunks) - 1
        made = [self._response(index, final=self.with_last and index == last) for index in range(last + 1)]
        if not self.with_last:
            made.append(self._message(final=True))
        return made

    def _message(self, *, final: bool):
        message = wire.pb.ModelStreamInferResponse()
        message.infer_response.id = "" if self.omit_id else REQUEST_ID
        message.infer_response.parameters[wire.FINAL_PARAMETER].bool_param = final
        return message

    def _response(self, index: int, *, final: bool):
        message = self._message(final=final)
        output_names, chunk = self.output_names, self.chunks[index]
        if output_names.detokenize is None:
            add(message, output_names.text, "BYTES", len(chunk).to_bytes(4, "little") + chunk)
        else:
            ids = b"".join(token.to_bytes(4, "little") for token in chunk)
            add(message, output_names.text, "INT32", ids)
        if output_names.finish_reason:
            word = self.reason.encode() if index == len(self.chunks) - 1 else b"None"
            add(message, output_names.finish_reason, "BYTES", len(word).to_bytes(4, "little") + word)
        for name in (output_names.input_tokens, output_names.output_tokens):
            if name:
                add(message, name, "UINT32", (1).to_bytes(4, "little"))
        if output_names.logprobs and output_names.detokenize is None and output_names.logprobs == "logprobs":
            word = json.dumps([{"7": {"logprob": -0.5, "rank": 1, "decoded_token": "x"}}]).encode()
            add(message, output_names.logprobs, "BYTES", len(word).to_bytes(4, "little") + word)
        elif output_names.logprobs:
            add(message, output_names.logprobs, "FP32", b"\0\0\0\xbf")
        return message


def add(message, name: str, datatype: str, raw: bytes) -> None:
    message.infer_response.outputs.add(name=name, datatype=datatype, shape=[1])
    message.infer_response.raw_output_contents.append(raw)


def _cut_off(responses, at, choices):
    return responses[:at]


def _failed(responses, at, choices):
    message = wire.pb.ModelStreamInferResponse(error_message=choices.words() or "it broke")
    return [*responses[:at], message]


def _foreign(responses, at, choices):
    message = parse(responses[at].SerializeToString())
    message.infer_response.id = choices.words() or "other"
    message.infer_response.id += "-" if message.infer_response.id == REQUEST_ID else ""
    return [*responses[:at], message, *responses[at + 1 :]]


def _unreadable(responses, at, choices):
    return [*responses[:at], None, *responses[at:]]


def _other_type(responses, at, choices):
    message = parse(responses[at].SerializeToString())
    if not message.infer_response.outputs:
        return [*responses[:at], None]
    message.infer_response.outputs[0].datatype = choices.pick(("FP8", "", "BF16", "bytes"))
    return [*responses[:at], message, *responses[at + 1 :]]


FAULTS = {
    "cut off": (_cut_off, IncompleteStreamError),
    "an error in the stream": (_failed, RequestError),
    "a foreign id": (_foreign, ProtocolError),
    "an unreadable message": (_unreadable, ProtocolError),
    "another type": (_other_type, ProtocolError),
}


def stream_faulty(data: bytes) -> None:
    """A valid answer of any backend with a fault at any place: the typed error, and exactly the text before it."""
    choices = Choices(data)
    fault = choices.pick((None, *FAULTS))
    stops = ("<end>", "é", "nd>!") if choices.flag() else ()
    answer = Answer.chosen(choices)
    responses = answer.responses()
    arrived = len(answer.chunks)
    expected: type = Generation
    if fault is not None:
        make, expected = FAULTS[fault]
        at = choices.below(len(responses))
        arrived = min(at, arrived)
        responses = make(responses, at, choices)
    outcome, _ = play(new_exchange(answer.output_names, stops), responses)
    if isinstance(outcome, Generation):
        _check_generation(outcome, answer, stops, finished=fault is None)
        return
    assert isinstance(outcome, expected)
    if fault == "an error in the stream":
        assert outcome.server_message
        assert isinstance(outcome, InferenceError) or outcome.status
    assert outcome.partial_text == until_stop(answer.text(arrived), stops)[0]


def _check_generation(outcome: Generation, answer: Answer, stops, *, finished: bool) -> None:
    text, stop = until_stop(answer.text(len(answer.chunks)), stops)
    assert outcome.text == text
    assert finished or stop is not None
    if stop is not None:
        assert outcome.finish_reason is FinishReason.STOP
        return
    if answer.output_names.finish_reason:
        known = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
        assert outcome.finish_reason is known.get(answer.reason, FinishReason.OTHER)
    if answer.output_names.output_tokens:
        assert outcome.usage.output_tokens == len(answer.chunks)
    if answer.output_names.logprobs:
        assert outcome.logprobs is not None


def stream_mutated(data: bytes) -> None:
    """A valid answer whose messages are damaged bit by bit on their way: typed errors only, text in bounds."""
    choices = Choices(data)
    stops = ("<end>", "é") if choices.flag() else ()
    answer = Answer.chosen(choices)
    wires = [bytearray(message.SerializeToString()) for message in answer.responses()]
    for _ in range(1 + choices.below(8)):
        _damage(wires, choices)
    play(new_exchange(answer.output_names, stops, choices.pick((None, 4, 100))), [bytes(w) for w in wires])


def _damage(wires: list[bytearray], choices: Choices) -> None:
    if not wires:
        return
    index = choices.below(len(wires))
    message = wires[index]
    at = choices.number(2) % (len(message) + 1)
    way = choices.below(6)
    if way == 0:
        message[at : at + 1] = choices.bytes(1)
    elif way == 1:
        del message[at : at + 1 + choices.below(4)]
    elif way == 2:
        message[at:at] = choices.bytes(choices.below(6))
    elif way == 3:
        wires.insert(index, bytearray(message))
    elif way == 4:
        del wires[index]
    else:
        other = wires[choices.below(len(wires))]
        message[at:] = other[at:]
