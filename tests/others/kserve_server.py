"""A server made with KServe's SDK: ``python kserve_server.py GRPC_PORT HTTP_PORT TRITON`` serves two models.

``double`` computes; ``transformer`` asks another server with our client, as KServe's transformers do.
"""

import sys

from kserve import InferOutput, InferResponse, Model, ModelServer

from nupic_client import StreamingClient


class Double(Model):
    def __init__(self):
        super().__init__("double")
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        array = payload.inputs[0].as_numpy() * 2
        output = InferOutput(name="x", shape=list(array.shape), datatype=payload.inputs[0].datatype)
        output.set_data_from_numpy(array, binary_data=False)
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[output])


class Transformer(Model):
    def __init__(self, triton):
        super().__init__("transformer")
        self.client = StreamingClient("gpt.streaming", url=triton)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        prompt = payload.inputs[0].as_numpy().ravel()[0]  # `as_string` reads no raw contents
        prompt = prompt if isinstance(prompt, str) else prompt.decode()
        generation = await self.client.agenerate(prompt)
        output = InferOutput(name="text_output", shape=[1], datatype="BYTES", data=[generation.text.encode()])
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    grpc_port, http_port, triton = sys.argv[1:]
    sys.argv[1:] = []  # KServe reads them too
    ModelServer(grpc_port=int(grpc_port), http_port=int(http_port), workers=1).start(
        [Double(), Transformer(triton)]
    )
