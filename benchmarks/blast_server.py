"""An HTTP/2 peer that costs about a microsecond a message, so that only the client counts.

A gRPC server written in Python costs 20 to 80 us a message and hides every difference between clients; Triton's costs
100 to 200. This one knows just enough HTTP/2 to pass for a gRPC server: it answers a request with *pre-encoded* messages,
one DATA frame each, many frames to one write, as far as the client's flow-control windows allow. It answers ModelConfig
with the signature of a model that streams, and everything else as a generation whose length is the request's
``max_tokens``; requests to ``embed`` with one vector. Headers of requests are not read (they may be compressed): the message
tells what is asked.

Run it with ``python -m benchmarks.blast_server``; it prints its port and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections import deque
from typing import Any

from nupic_client._core.kserve import wire
from nupic_client._core.kserve.codec import encode_tensor

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# Constant header blocks without dynamic table: ":status: 200", "content-type: application/grpc", and "grpc-status: 0".
RESPONSE_HEADERS = b"\x88\x0f\x10\x10application/grpc"
TRAILERS = b"\x00\x0bgrpc-status\x010"

MODEL = "blast"
EMBEDDING = "embed"
DIMENSIONS = 384
ONES = struct.pack("<f", 1.0)
WORDS = [
    " " + word
    for word in (
        " the sky is blue because air scatters short waves of light more than long ones, so" * 4
    ).split()
]
"""The text repeats these chunks."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def prefixed(message: bytes) -> bytes:
    """Return a message with gRPC's length prefix."""
    return b"\0" + struct.pack(">I", len(message)) + message


def model_config() -> bytes:
    response = wire.pb.ModelConfigResponse()
    config = response.config
    config.name = MODEL
    config.model_transaction_policy.decoupled = True
    kinds = wire.pb.model__config__pb2.DataType
    config.input.add(name="text_input", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    config.input.add(name="max_tokens", data_type=kinds.Value("TYPE_INT32"), dims=[1], optional=True)
    config.input.add(name="hold", data_type=kinds.Value("TYPE_INT32"), dims=[1], optional=True)
    config.output.add(name="text_output", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    return response.SerializeToString()


def embedding_config() -> bytes:
    response = wire.pb.ModelConfigResponse()
    config = response.config
    config.name, config.max_batch_size = EMBEDDING, 64
    kinds = wire.pb.model__config__pb2.DataType
    config.input.add(name="text_input", data_type=kinds.Value("TYPE_STRING"), dims=[1])
    config.output.add(name="embedding", data_type=kinds.Value("TYPE_FP32"), dims=[DIMENSIONS])
    return response.SerializeToString()


def embedding_message(request: Any) -> bytes:
    """Return the answer to a request for embeddings: as many vectors as texts, all of ones."""
    rows = request.inputs[0].shape[0]
    answer = wire.pb.ModelInferResponse(model_name=EMBEDDING, model_version="1", id=request.id)
    answer.outputs.add(name="embedding", datatype="FP32", shape=[rows, DIMENSIONS])
    answer.raw_output_contents.append(ONES * (rows * DIMENSIONS))
    return answer.SerializeToString()


def token_message(request_id: str, text: str, *, final: bool = False) -> bytes:
    response = wire.pb.ModelStreamInferResponse()
    answer = response.infer_response
    answer.model_name, answer.model_version, answer.id = MODEL, "1", request_id
    answer.parameters[wire.FINAL_PARAMETER].bool_param = final
    if not final:
        answer.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        answer.raw_output_contents.append(encode_tensor("BYTES", [text]))
    return response.SerializeToString()


class Gathering:
    """Answers that wait for one another, so that a client surely has all of them open at the same time.

    The first answer is not held back: it is the one that opens the client's connection. It begins anew when the last
    connection is gone.
    """

    def __init__(self) -> None:
        self.connections = 0
        self.seen = 0
        self.held: list[tuple[Peer, Answer]] = []

    def connected(self, change: int) -> None:
        self.connections += change
        if not self.connections:
            self.seen = 0
            self.held.clear()

    def hold(self, peer: Peer, answer: Answer, most: int) -> None:
        self.seen += 1
        if 1 < self.seen <= most + 1:
            answer.rest, answer.left = answer.left - 1, 1
            self.held.append((peer, answer))
        if self.seen == most + 1:
            for other, held in self.held:
                other.release(held)
            self.held.clear()


gathering = Gathering()


class Answer:
    """What is still to be sent on one stream: what may be sent now, what is held back, and the last message."""

    __slots__ = ("frames", "idle", "last", "left", "next", "rest", "stream", "window")

    def __init__(self, stream: int, window: int, last: bytes) -> None:
        self.stream = stream
        self.frames: list[bytes] = []
        self.next = 0
        self.left = 0
        self.rest = 0
        self.idle = False
        self.window = window
        self.last = prefixed(last)


class Peer(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.preface = False
        self.window = 65535
        self.initial_window = 65535
        self.max_frame = 16384
        self.waiting: dict[int, bytearray] = {}
        self.windows: dict[int, int] = {}
        self.open: dict[int, Answer] = {}
        self.answers: deque[Answer] = deque()
        self.blocked: dict[int, Answer] = {}
        self.paused = False
        self.scheduled = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        gathering.connected(1)
        settings = struct.pack(
            ">HIHI", 3, 1000, 4, 1 << 20
        )  # streams at once; bytes of a request before its end
        transport.write(
            frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24))
        )

    def connection_lost(self, error: Exception | None) -> None:
        gathering.connected(-1)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.preface:
            if len(self.buffer) < len(PREFACE):
                return
            del self.buffer[: len(PREFACE)]
            self.preface = True
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload = bytes(self.buffer[9 : 9 + length])
            del self.buffer[: 9 + length]
            self.take(kind, flags, stream, payload)
        self.send_soon()

    def take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.take_settings(payload)
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self.take_window(stream, int.from_bytes(payload, "big"))
        elif kind == HEADERS:
            self.waiting[stream] = bytearray()
            self.windows[stream] = self.initial_window
        elif kind == DATA and stream in self.waiting:
            message = self.waiting[stream]
            message += payload
            # One request a stream, so it is complete when its announced length is there: tritonclient leaves its half open.
            if len(message) >= 5 and len(message) >= 5 + int.from_bytes(message[1:5], "big"):
                self.answer(stream, bytes(self.waiting.pop(stream)[5:]))
        elif kind == RST_STREAM:
            self.forget(stream)

    def take_settings(self, payload: bytes) -> None:
        for place in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[place : place + 6])
            if name == 4:
                change, self.initial_window = value - self.initial_window, value
                self.windows = {stream: size + change for stream, size in self.windows.items()}
                for answer in self.open.values():
                    answer.window += change
                # A larger window may come without any WINDOW_UPDATE; whoever still has too little is held back again.
                self.answers.extend(self.blocked.values())
                self.blocked.clear()
            elif name == 5:
                self.max_frame = value
        self.transport.write(frame(SETTINGS, ACK, 0))

    def take_window(self, stream: int, size: int) -> None:
        if not stream:
            self.window += size
        elif stream in self.open:
            self.open[stream].window += size
            if stream in self.blocked:
                self.answers.append(self.blocked.pop(stream))
        elif stream in self.windows:
            self.windows[stream] += size

    def forget(self, stream: int) -> None:
        self.windows.pop(stream, None)
        self.waiting.pop(stream, None)
        self.open.pop(stream, None)
        self.blocked.pop(stream, None)
        self.answers = deque(answer for answer in self.answers if answer.stream != stream)

    def answer(self, stream: int, message: bytes) -> None:
        head = frame(HEADERS, END_HEADERS, stream, RESPONSE_HEADERS)
        request = wire.pb.ModelInferRequest.FromString(message)
        if request.model_name == EMBEDDING:
            self.answer_at_once(stream, head, request)
            return
        self.transport.write(head)
        given = {
            tensor.name: int.from_bytes(raw, "little")
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
            if tensor.datatype == "INT32"
        }
        last = token_message(request.id, "", final=True) if request.inputs else model_config()
        answer = Answer(stream, self.windows.pop(stream), last)
        if request.inputs:
            answer.left = given["max_tokens"]
            answer.frames = [
                frame(DATA, 0, stream, prefixed(token_message(request.id, word))) for word in WORDS
            ]
        self.open[stream] = answer
        self.answers.append(answer)
        if "hold" in given:
            gathering.hold(self, answer, given["hold"])

    def answer_at_once(self, stream: int, head: bytes, request: Any) -> None:
        """Answer with one message, which is small enough for any window of gRPC's."""
        message = embedding_message(request) if request.inputs else embedding_config()
        self.windows.pop(stream)
        self.window -= len(message) + 5
        body = frame(DATA, 0, stream, prefixed(message))
        self.transport.write(head + body + frame(HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS))

    def release(self, answer: Answer) -> None:
        """Let the rest of an answer go."""
        answer.left, answer.rest = answer.left + answer.rest, 0
        if answer.idle and answer.stream in self.open:
            self.answers.append(answer)
        answer.idle = False
        self.send_soon()

    def send_soon(self) -> None:
        if not self.scheduled and self.answers and not self.paused:
            self.scheduled = True
            asyncio.get_running_loop().call_soon(self.send)

    def send(self) -> None:
        """Write one turn of each stream that may send."""
        self.scheduled = False
        share = 32768 if len(self.answers) < 4 else 4096  # small turns keep many streams fair
        for _ in range(len(self.answers)):
            if self.paused or self.window < 512 or self.transport.is_closing():
                break
            answer = self.answers.popleft()
            if self.turn(answer, share):
                self.answers.append(answer)
        if self.window >= 512:
            self.send_soon()

    def turn(self, answer: Answer, share: int) -> bool:
        """Send some of an answer; return whether it may send more now."""
        budget = min(share, answer.window, self.window)
        frames, place = answer.frames, answer.next
        out = []
        used = 0
        while answer.left:
            chunk = frames[place]
            if used + len(chunk) > budget:
                break
            used += len(chunk) - 9  # headers of frames do not count
            out.append(chunk)
            answer.left -= 1
            place = place + 1 if place + 1 < len(frames) else 0
        answer.next = place
        answer.window -= used
        self.window -= used
        if answer.rest and not answer.left:
            answer.idle = True
            self.transport.write(b"".join(out))
            return False
        if not answer.left and answer.window >= 512 and self.window >= 512:
            out.append(self.final(answer))
            self.open.pop(answer.stream, None)
            self.transport.write(b"".join(out))
            return False
        self.transport.write(b"".join(out))
        if answer.window < 512:
            self.blocked[answer.stream] = answer
            return False
        return True

    def final(self, answer: Answer) -> bytes:
        self.window -= len(answer.last)
        end = frame(HEADERS, END_HEADERS | END_STREAM, answer.stream, TRAILERS)
        return frame(DATA, 0, answer.stream, answer.last) + end

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.send_soon()


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Peer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # the parent is gone when this returns


if __name__ == "__main__":
    asyncio.run(serve())
