"""A model that embeds at no cost, so that the server and the client are what is measured. Triton runs this file."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One row of numbers for each text: its length, and the same 383 others."""

    def initialize(self, args):
        self.row = np.linspace(-1, 1, 384, dtype=np.float32)

    def execute(self, requests):
        responses = []
        for request in requests:
            texts = pb_utils.get_input_tensor_by_name(request, "text_input").as_numpy().reshape(-1)
            rows = np.tile(self.row, (len(texts), 1))
            rows[:, 0] = [len(text) for text in texts]
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("embedding", rows)]))
        return responses
