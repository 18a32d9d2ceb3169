"""A stateful model that is decoupled too: all sums so far of a sequence, each as a response of its own."""

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Keeps the sums by the ids of their sequences."""

    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        for request in requests:
            value, start, end, key = (
                pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]
                for name in ("INPUT", "START", "END", "CORRID")
            )
            sums = [] if start else self.sums[key]
            sums.append((sums[-1] if sums else 0) + int(value))
            self.sums[key] = sums
            sender = request.get_response_sender()
            for total in sums:
                tensor = pb_utils.Tensor("OUTPUT", np.array([[total]], np.int32))
                sender.send(pb_utils.InferenceResponse([tensor]))
            sender.send(flags=FINAL)
            if end:
                del self.sums[key]
