"""NVIDIA's example of a stateful model: the sum of what came in a sequence."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Keeps the sums by the ids of their sequences. A negative number fails."""

    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.respond(request) for request in requests]

    def respond(self, request):
        value, start, end, key = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]
            for name in ("INPUT", "START", "END", "CORRID")
        )
        if start:
            self.sums[key] = 0
        if value < 0:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"cannot add {value}"))
        self.sums[key] += int(value)
        total = self.sums.pop(key) if end else self.sums[key]
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", np.array([[total]], np.int32))])
