"""Models that answer once, a sentence embedder and a classifier: no weights but the right shapes."""

import hashlib
import math

import fake_llm
import numpy as np
import triton_python_backend_utils as pb_utils

WIDTH = 384


class Sbert:
    """Texts to vectors of length one; the same text gives the same vector. The server makes the batches."""

    def initialize(self, args):
        pass

    def execute(self, requests):
        return [
            self._respond(fake_llm.Call(request, decoupled=False).values("text_input"))
            for request in requests
        ]

    def _respond(self, texts):
        if any("[fail]" in text for text in texts):
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("the sentence cannot be embedded"))
        rows = [_embedding(text) for text in texts]
        return pb_utils.InferenceResponse(output_tensors=[fake_llm.tensor("embedding", rows, np.float32)])


def _embedding(text):
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(WIDTH)
    return vector / math.sqrt(float(vector @ vector))


class BertClassifier:
    """Token ids to two scores: how many of the ids that count are even, and how many are odd."""

    def initialize(self, args):
        pass

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy()
        mask = pb_utils.get_input_tensor_by_name(request, "attention_mask").as_numpy()
        odd = (ids % 2 * mask).sum(axis=1)
        scores = np.stack([mask.sum(axis=1) - odd, odd], axis=1)
        return pb_utils.InferenceResponse(output_tensors=[fake_llm.tensor("logits", scores, np.float32)])
