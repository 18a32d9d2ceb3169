"""A stand-in for a language model with continuous batching: one engine thread, one token per active request and step.

With ``stamp`` a token is the monotonic clock in nanoseconds at which it was handed to Triton, for measuring how long its
way to the reader takes (the clock is the same for all processes of a machine).
"""

import heapq
import itertools
import queue
import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils  # Triton's own


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args):
        self.requests = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.engine, daemon=True)
        self.thread.start()

    def execute(self, requests):
        for request in requests:
            self.requests.put(
                Answer(
                    request.get_response_sender(),
                    number(request, "max_tokens", 16),
                    number(request, "token_delay_us", 0) / 1e6,
                    number(request, "first_token_delay_us", 0) / 1e6,
                    number(request, "stamp", 0),
                )
            )

    def finalize(self):
        self.requests.put(None)
        self.thread.join()

    def engine(self):
        order = itertools.count()
        due = []  # (when, order, answer): the next token of each active request
        while True:
            pause = None if not due else max(due[0][0] - time.monotonic(), 0)
            try:
                answer = self.requests.get(timeout=pause) if pause != 0 else self.requests.get_nowait()
            except queue.Empty:
                when, _, answer = heapq.heappop(due)
                if answer.step():
                    # From when it was due, not from now: the pace holds on a busy machine too.
                    heapq.heappush(due, (max(when + answer.delay, time.monotonic()), next(order), answer))
                continue
            if answer is None:
                return
            heapq.heappush(due, (time.monotonic() + answer.first_delay, next(order), answer))


class Answer:
    """One request that is being answered."""

    def __init__(self, sender, tokens, delay, first_delay, stamped):
        self.sender = sender
        self.left = tokens
        self.delay = delay
        self.first_delay = first_delay
        self.stamped = stamped

    def step(self):
        """Send the next token; return whether more follow."""
        if self.left and not self.sender.is_cancelled():
            self.send_token()
        if self.left and not self.sender.is_cancelled():
            return True
        self.sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return False

    def send_token(self):
        self.left -= 1
        text = str(time.monotonic_ns()) if self.stamped else f" tok{self.left % 10}"
        tensor = pb_utils.Tensor("text_output", np.array([text.encode()], dtype=object))
        self.sender.send(pb_utils.InferenceResponse(output_tensors=[tensor]))


def number(request, name, default):
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return default if tensor is None else int(tensor.as_numpy().reshape(-1)[0])
