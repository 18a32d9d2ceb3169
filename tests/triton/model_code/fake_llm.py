"""What the models of the test repository share: a model without weights, short ways to read and answer.

It runs inside the real server, in the process of each model. The answer to a prompt is known in advance: it
repeats the prompt. Directives in the prompt change that: ``[delay=0.02]`` seconds before each token,
``[repeat=100]`` numbered words instead of the prompt, ``[fail=3]`` an error after so many tokens.
"""

import json
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
_DIRECTIVE = re.compile(r"\[(delay|repeat|fail)=([^\]]*)\]")


class FailureError(Exception):
    """The model fails, with these words."""


class Prompt:
    """A prompt and what its directives ask for."""

    def __init__(self, text):
        self.text = text
        self.directives = dict(_DIRECTIVE.findall(text))
        self.delay = float(self.directives.get("delay", 0))

    def tokens(self):
        """Return the tokens of the answer: words with the space before them."""
        if "repeat" in self.directives:
            return [f" {index}" for index in range(int(self.directives["repeat"]))]
        return re.findall(r"\s*\S+", f"You said: {_DIRECTIVE.sub('', self.text).strip()} 🎉 Grüße!")

    def generate(self, tokens, limit=None):
        """Yield the tokens that the limit allows, at the speed asked for, or fail where it is asked for.

        Whole characters only; each comes with why the text ends after it, or None.
        """
        fail_at = int(self.directives.get("fail", -1))
        count = len(tokens) if limit is None else min(limit, len(tokens))
        for index in range(count):
            time.sleep(self.delay)
            if index == fail_at:
                raise FailureError(f"engine exploded at token {index}")
            last = index == count - 1
            yield tokens[index], ("length" if count < len(tokens) else "stop") if last else None


class Call:
    """One request to a model: its inputs by name, and its answers."""

    def __init__(self, request, *, decoupled=True):
        self.request_id = request.request_id()
        self._inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        self._sender = request.get_response_sender() if decoupled else None

    def values(self, name):
        """Return all elements of an input, without those it does not have."""
        values = self._inputs[name].reshape(-1).tolist() if name in self._inputs else []
        return [
            value.decode(errors="surrogateescape") if isinstance(value, bytes) else value for value in values
        ]

    def value(self, name, default=None):
        """Return the one element of an input."""
        values = self.values(name)
        return values[0] if values else default

    @property
    def cancelled(self):
        """Whether the client has left."""
        return self._sender.is_cancelled()

    def send(self, outputs, *, final=False):
        """Send a response with these tensors."""
        self._sender.send(pb_utils.InferenceResponse(output_tensors=outputs), flags=FINAL if final else 0)

    def finish(self):
        """Send the final mark by itself."""
        self._sender.send(flags=FINAL)

    def fail(self, text, outputs=(), *, final=True, code=None):
        """Send an error; what else stands in the response is not for the client."""
        error = pb_utils.TritonError(text) if code is None else pb_utils.TritonError(text, code)
        response = pb_utils.InferenceResponse(output_tensors=list(outputs), error=error)
        self._sender.send(response, flags=FINAL if final else 0)


def tensor(name, values, dtype, shape=None):
    """Return an output of one row; ``bytes`` and ``str`` make BYTES."""
    if dtype is bytes:
        values = [
            value.encode(errors="surrogateescape") if isinstance(value, str) else value for value in values
        ]
        dtype = object
    array = np.array(values, dtype=dtype)
    return pb_utils.Tensor(name, array if shape is None else array.reshape(shape))


def in_threads(requests, answer):
    """Answer each request on a thread of its own, so that they run at the same time."""
    for request in requests:
        call = Call(request)
        threading.Thread(target=answer, args=(call,), daemon=True).start()


def log_event(model, event, **facts):
    """Append a line to the file that the tests read."""
    path = os.environ.get("NUPIC_TEST_EVENTS")
    if path:
        line = json.dumps({"time": time.time(), "model": model, "event": event, **facts})
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def to_ids(text):
    """Turn a text into token ids: three bytes each, so that they tear characters apart as real ones do."""
    data = text.encode(errors="surrogateescape")
    chunks = (data[start : start + 3] for start in range(0, len(data), 3))
    return [len(chunk) << 24 | int.from_bytes(chunk, "little") for chunk in chunks]


def to_bytes(ids):
    """Turn token ids back into bytes."""
    return b"".join((number & 0xFFFFFF).to_bytes(3, "little")[: number >> 24] for number in ids if number > 0)
