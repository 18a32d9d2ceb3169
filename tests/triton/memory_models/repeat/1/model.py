"""Answer three times: with ``x``, with one more and with two more."""

import triton_python_backend_utils as pb_utils

__all__ = ["TritonPythonModel"]


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            for more in range(3):
                sender.send(pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", x + more)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
