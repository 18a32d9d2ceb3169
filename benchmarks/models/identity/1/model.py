"""Give the numbers back: what a request costs without a model."""

import triton_python_backend_utils as pb_utils

__all__ = ["TritonPythonModel"]


class TritonPythonModel:
    """The model, as Triton's Python backend wants it."""

    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                output_tensors=[
                    pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(request, "x").as_numpy())
                ]
            )
            for request in requests
        ]
