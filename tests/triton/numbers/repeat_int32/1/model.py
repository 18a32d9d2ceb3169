"""NVIDIA's example of a decoupled model: each element of IN as a response of its own, after its delay in milliseconds."""

import threading
import time

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """A thread answers each request; ``execute`` returns before, after WAIT milliseconds."""

    def initialize(self, args):
        self.threads = []

    def execute(self, requests):
        for request in requests:
            values, delays, wait = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()
                for name in ("IN", "DELAY", "WAIT")
            )
            thread = threading.Thread(target=respond, args=(request.get_response_sender(), values, delays))
            self.threads.append(thread)
            thread.start()
            time.sleep(wait[0] / 1000)

    def finalize(self):
        for thread in self.threads:
            thread.join()


def respond(sender, values, delays):
    for index, (value, delay) in enumerate(zip(values, delays, strict=True)):
        time.sleep(delay / 1000)
        if sender.is_cancelled():
            break
        if value < 0:
            error = pb_utils.TritonError(f"cannot repeat {value}")
            sender.send(pb_utils.InferenceResponse(output_tensors=[], error=error), flags=FINAL)
            return
        outputs = [
            pb_utils.Tensor("OUT", np.array([value], np.int32)),
            pb_utils.Tensor("IDX", np.array([index], np.uint32)),
        ]
        sender.send(pb_utils.InferenceResponse(output_tensors=outputs))
    sender.send(flags=FINAL)
