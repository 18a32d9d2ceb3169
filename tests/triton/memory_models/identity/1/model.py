"""Give the inputs back: numbers ``x`` as ``y``, texts ``s`` as ``t``."""

import triton_python_backend_utils as pb_utils

__all__ = ["TritonPythonModel"]

PAIRS = (("x", "y"), ("s", "t"))


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            given = [(pb_utils.get_input_tensor_by_name(request, name), output) for name, output in PAIRS]
            outputs = [pb_utils.Tensor(output, it.as_numpy()) for it, output in given if it is not None]
            answers.append(pb_utils.InferenceResponse(output_tensors=outputs))
        return answers
