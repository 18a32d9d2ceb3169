"""NVIDIA's example of a decoupled model: IN as often as it says. The last response is marked as the final one."""

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Answers in ``execute``."""

    def execute(self, requests):
        for request in requests:
            value = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()[0]
            sender = request.get_response_sender()
            response = pb_utils.InferenceResponse([pb_utils.Tensor("OUT", np.array([value], np.int32))])
            for left in range(value, 0, -1):
                sender.send(response, flags=FINAL if left == 1 else 0)
            if value <= 0:
                sender.send(flags=FINAL)
