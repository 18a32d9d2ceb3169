"""A model of texts for MLServer: it gives the words of a text back, at once or one by one."""

import asyncio

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceResponse


class Words(MLModel):
    async def predict(self, payload):
        return self._answer("".join(self._words(payload)))

    async def predict_stream(self, payloads):
        async for payload in payloads:
            for word in self._words(payload):
                if word == "boom":
                    raise ValueError("the words broke")
                if word == "wait":
                    await asyncio.sleep(60)
                yield self._answer(word)

    def _words(self, payload):
        (text,) = StringCodec.decode_input(payload.inputs[0])
        first, *others = text.split()
        return [first, *(word if word in {"boom", "wait"} else f" {word}" for word in others)]

    def _answer(self, text):
        output = StringCodec.encode_output("text_output", [text], use_bytes=True)
        return InferenceResponse(model_name=self.name, outputs=[output])
