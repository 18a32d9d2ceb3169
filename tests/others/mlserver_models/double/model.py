"""A model of numbers for MLServer. As most of its runtimes it says nothing of what it takes and gives."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Double(MLModel):
    async def predict(self, payload):
        array = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output(payload.inputs[0].name, array * 2)
        return InferenceResponse(model_name=self.name, outputs=[output])
