"""A model that decodes each input as its content type says, and tells what it got: MLServer's own way."""

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse


class Codecs(MLModel):
    async def predict(self, payload):
        outputs = [
            StringCodec.encode_output(each.name, [self._told(each)], use_bytes=True)
            for each in payload.inputs
        ]
        request = (
            payload.parameters.model_dump(exclude_none=True, exclude={"headers"})
            if payload.parameters
            else {}
        )
        outputs.append(StringCodec.encode_output("request", [repr(sorted(request.items()))], use_bytes=True))
        return InferenceResponse(model_name=self.name, outputs=outputs)

    def _told(self, tensor):
        decoded = self.decode(tensor)
        content_type = tensor.parameters and tensor.parameters.content_type
        return (
            f"{content_type}: {type(decoded).__name__} {decoded if isinstance(decoded, list) else ''}".strip()
        )
