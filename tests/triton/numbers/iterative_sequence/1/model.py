"""NVIDIA's example of an iterative sequence: counts IN down to 0, one run of the model for each number."""

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
RESCHEDULE = pb_utils.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE


class TritonPythonModel:
    """Keeps what is left of each request by its id."""

    def initialize(self, args):
        self.left = {}

    def execute(self, requests):
        for request in requests:
            key = request.request_id()
            value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy().ravel()[0]
            left = self.left.get(key, int(value)) - 1
            sender = request.get_response_sender()
            response = pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([[left]], np.int32))])
            if left > 0:
                self.left[key] = left
                sender.send(response)
                request.set_release_flags(RESCHEDULE)
            else:
                self.left.pop(key, None)
                sender.send(response, flags=FINAL)
