"""The model of the embedded server for Triton's Python backend: it runs inside Triton, with Triton's Python.

The engines are those of the embedded server: the text engine if the model's configuration is decoupled, else the
embedding engine.
"""

import json
import os
import queue
import sys
import threading

import numpy as np
import triton_python_backend_utils as pb_utils

# `TritonServer` gives the folder with this package and nothing else.
sys.path.append(os.environ["NUPIC_TRITON_CODE"])

from nupic_client.local.engine import EngineError, EngineRequest, readable
from nupic_client.local.engines.embedding import EmbeddingEngine
from nupic_client.local.engines.llama import LlamaEngine
from nupic_client.local.kserve.outputs import ChunkOutputs, joined

__all__ = ["TritonPythonModel"]

_FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """The interface of Triton's Python backend."""

    def initialize(self, args):
        """Load the engine; an error is in the server's log, and the server does not start."""
        config = json.loads(args["model_config"])
        self._name = config["name"]
        self._many = {item["name"] for item in config["input"] if -1 in map(int, item["dims"])}
        self._outputs = {item["name"]: item for item in config["output"]}
        self._text_name = "text_output" if "text_output" in self._outputs else ""
        self._decoupled = config["model_transaction_policy"]["decoupled"]
        self._batched = config.get("max_batch_size", 0) > 0
        options = {name: int(item["string_value"]) for name, item in config["parameters"].items()}
        weights = os.environ["NUPIC_SMOLLM2"]
        self._waiting = queue.SimpleQueue()
        self._worker = None
        if self._decoupled:
            self._engine = LlamaEngine(**options)
            self._engine.load(weights)
            # One thread: requests wait for it, so that they do not slow each other down.
            self._worker = threading.Thread(target=self._work, daemon=True)
            self._worker.start()
        else:
            self._engine = EmbeddingEngine(threads=options["threads"])
            self._engine.path = weights

    def execute(self, requests):
        """Answer immediately, or pass the requests to the worker."""
        if not self._decoupled:
            return [self._answer(request) for request in requests]
        for request in requests:
            self._waiting.put((self._read(request), request.get_response_sender()))
        return None

    def finalize(self):
        """End running requests and free the engine, which must happen before the process ends."""
        self._engine.close()
        self._waiting.put(None)
        if self._worker is not None:
            self._worker.join(5)

    def _work(self):
        while (item := self._waiting.get()) is not None:
            request, sender = item
            response = None
            try:
                self._stream(request, sender)
            except EngineError as error:
                response = _failure(str(error))
            except Exception as error:
                response = _failure(f"{type(error).__name__}: {error}")
            # Without its final mark a request would never end.
            sender.send(flags=_FINAL) if response is None else sender.send(response, flags=_FINAL)

    def _stream(self, request, sender):
        outputs = ChunkOutputs(self._text_name, request)
        chunks = self._engine.generate(request, _Cancellation(sender))
        try:
            for chunk in chunks:
                found = outputs.of(chunk)
                if found:
                    sender.send(self._response(found))
        finally:
            chunks.close()

    def _answer(self, request):
        try:
            question = self._read(request)
            outputs = ChunkOutputs(self._text_name, question)
            for chunk in joined(self._engine.generate(question, _Cancellation(request))):
                return self._response(outputs.of(chunk))
        except EngineError as error:
            return _failure(str(error))
        except Exception as error:
            return _failure(f"{type(error).__name__}: {error}")

    def _read(self, request):
        inputs = {}
        for tensor in request.inputs():
            values = [readable(value) for value in tensor.as_numpy().reshape(-1).tolist()]
            many = tensor.name() in self._many or len(values) != 1
            inputs[tensor.name()] = values if many else values[0]
        prompt = inputs["text_input"]
        # The server passes all outputs if the request named none.
        asked = set(request.requested_output_names())
        return EngineRequest(
            model=self._name,
            request_id=request.request_id(),
            prompt=prompt if isinstance(prompt, str) else "",
            inputs=inputs,
            outputs=() if asked == set(self._outputs) else tuple(asked),
        )

    def _response(self, outputs):
        return pb_utils.InferenceResponse(
            output_tensors=[self._tensor(name, values) for name, values in outputs.items()]
        )

    def _tensor(self, name, values):
        config = self._outputs[name]
        array = np.array(values, dtype=pb_utils.triton_string_to_numpy(config["data_type"]))
        dims = [int(size) for size in config["dims"]]
        return pb_utils.Tensor(name, array.reshape([-1, *dims] if self._batched else dims))


class _Cancellation:
    """The cancel flag of an engine, which asks Triton each time that the engine checks it."""

    def __init__(self, asked):
        self._asked = asked

    def is_set(self):
        return self._asked.is_cancelled()


def _failure(text):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text))
