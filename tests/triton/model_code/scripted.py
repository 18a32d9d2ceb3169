"""A model that asks the test what to answer: a request goes to a socket, and its chunks come back."""

import base64
import json
import os
import select
import socket
import threading

import fake_llm
import numpy as np
import triton_python_backend_utils as pb_utils

_POLL = 0.02


class TritonPythonModel:
    """Plain text in, plain text out; see `RealTriton` in the tests for the other end of the socket."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._many = {item["name"] for item in config["input"] if -1 in map(int, item["dims"])}
        self._types = {item["name"]: _kserve(item["data_type"]) for item in config["input"]}
        self._outputs = [item["name"] for item in config["output"]]
        self._decoupled = config["model_transaction_policy"]["decoupled"]
        self._active = 0

    def execute(self, requests):
        if not self._decoupled:
            return [self._once(request) for request in requests]
        for request in requests:
            question, sender = self._question(request), request.get_response_sender()
            threading.Thread(target=self._stream, args=(question, sender), daemon=True).start()
        return None

    def _question(self, request):
        inputs = {}
        for item in request.inputs():
            values = item.as_numpy().reshape(-1).tolist()
            values = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
            inputs[item.name()] = {"values": values, "many": item.name() in self._many or len(values) != 1}
        return {
            "model": self._name,
            "request_id": request.request_id(),
            "inputs": {name: inputs[name] | {"datatype": self._types[name]} for name in inputs},
            "parameters": json.loads(request.parameters() or "{}"),
            "outputs": self._asked(request.requested_output_names()),
        }

    def _asked(self, names):
        """Return the outputs that were asked for; the server says all of them where none were named."""
        return [name for name in self._outputs if name in names] if set(self._outputs) - set(names) else []

    def _once(self, request):
        with _Conversation(self._question(request)) as conversation:
            answer = conversation.next()
        if "error" in answer:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(answer["error"]))
        return pb_utils.InferenceResponse(output_tensors=_tensors(answer))

    def _stream(self, question, sender):
        self._active += 1
        try:
            self._converse(question, sender)
        except Exception as error:
            error = pb_utils.TritonError(f"the scripted model failed: {type(error).__name__}: {error}")
            sender.send(pb_utils.InferenceResponse(error=error), flags=fake_llm.FINAL)
        finally:
            self._active -= 1

    def _converse(self, question, sender):
        with _Conversation(question) as conversation:
            while True:
                # Each question to the server costs it some time, so that many streams ask less often.
                while not conversation.ready(_POLL * (1 + self._active / 16)):
                    if sender.is_cancelled():
                        fake_llm.log_event(self._name, "cancelled", request_id=question["request_id"])
                        sender.send(flags=fake_llm.FINAL)
                        return
                answer = conversation.next()
                if "error" in answer:
                    error = pb_utils.TritonError(answer["error"])
                    sender.send(pb_utils.InferenceResponse(error=error), flags=fake_llm.FINAL)
                    return
                if answer["outputs"]:
                    response = pb_utils.InferenceResponse(output_tensors=_tensors(answer))
                    sender.send(response, flags=fake_llm.FINAL if answer["final"] else 0)
                elif answer["final"]:
                    sender.send(flags=fake_llm.FINAL)
                if answer["final"]:
                    return


class _Conversation:
    """A question and its answers, one JSON object a line. Hanging up says that nobody wants the rest."""

    def __init__(self, question):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(os.environ["NUPIC_TEST_REPLIES"])
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        self._lines = []
        self._rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def ready(self, patience):
        """Wait a moment for an answer."""
        return bool(self._lines or select.select([self._socket], [], [], patience)[0])

    def next(self):
        """Return the next answer."""
        while not self._lines:
            data = self._socket.recv(1 << 16)
            if not data:
                return {"error": "the test ended before its answer"}
            *self._lines, self._rest = (self._rest + data).split(b"\n")
        return json.loads(self._lines.pop(0))


def _tensors(answer):
    return [_tensor(**output) for output in answer["outputs"]]


def _tensor(name, datatype, shape, raw):
    data = base64.b64decode(raw)
    if datatype == "BYTES":
        array = pb_utils.deserialize_bytes_tensor(data)
    else:
        array = np.frombuffer(data, dtype=pb_utils.triton_string_to_numpy(f"TYPE_{datatype}"))
    return pb_utils.Tensor(name, array.reshape(shape))


def _kserve(config_type):
    name = config_type.removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name
