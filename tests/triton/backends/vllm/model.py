"""A stand-in for the vLLM backend: the same signature, the same answers, no engine.

It is a Python-based backend as the real one is, so that the server states ``backend: "vllm"``, and it
completes the configuration of its models in the same way.
"""

import base64
import json
import os
import sys

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

import fake_llm

_ADAPTERS = ["doll", "sheep"]
_RETURNS = ("finish_reason", "cumulative_logprob", "logprobs", "num_input_tokens", "num_output_tokens")
_INPUTS = [
    {"name": "text_input", "data_type": "TYPE_STRING", "dims": [1]},
    {"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True},
    {"name": "stream", "data_type": "TYPE_BOOL", "dims": [1], "optional": True},
    {"name": "sampling_parameters", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
    {"name": "exclude_input_in_output", "data_type": "TYPE_BOOL", "dims": [1], "optional": True},
    *(
        {"name": f"return_{name}", "data_type": "TYPE_BOOL", "dims": [1], "optional": True}
        for name in _RETURNS
    ),
    {"name": "embedding_request", "data_type": "TYPE_STRING", "dims": [1], "optional": True},
]
_OUTPUTS = [
    {"name": "text_output", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "finish_reason", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "cumulative_logprob", "data_type": "TYPE_FP32", "dims": [-1]},
    {"name": "logprobs", "data_type": "TYPE_STRING", "dims": [-1]},
    {"name": "num_input_tokens", "data_type": "TYPE_UINT32", "dims": [1]},
    {"name": "num_output_tokens", "data_type": "TYPE_UINT32", "dims": [-1]},
]
_SAMPLING = {
    *(
        "n",
        "max_tokens",
        "min_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "repetition_penalty",
    ),
    *(
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "ignore_eos",
        "structured_outputs",
        "lora_name",
        "skip_special_tokens",
        "spaces_between_special_tokens",
    ),
}


class TritonPythonModel:
    """The model of every repository entry that says ``backend: "vllm"``."""

    @staticmethod
    def auto_complete_config(config):
        for item in _INPUTS:
            config.add_input(item)
        for item in _OUTPUTS:
            config.add_output(item)
        config.set_model_transaction_policy({"decoupled": True})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args):
        self._name = args["model_name"]

    def execute(self, requests):
        fake_llm.in_threads(requests, self._answer)

    def _answer(self, call):
        try:
            self._generate(call)
        except Exception as error:
            nothing = [fake_llm.tensor("text_output", ["N/A"], bytes)]
            call.fail(f"Error generating stream: {error}", nothing)

    def _generate(self, call):
        streaming = call.value("stream", False)
        echoed = not call.value("exclude_input_in_output", streaming)
        if streaming and echoed:
            raise ValueError("When streaming, `exclude_input_in_output` = False is not allowed.")
        sampling = json.loads(call.value("sampling_parameters", "{}"))
        if not _SAMPLING.issuperset(sampling):
            raise AttributeError("'NoneType' object has no attribute 'lora_name'")
        prompt = fake_llm.Prompt(call.value("text_input"))
        if "lora_name" in sampling:
            _check_adapter(sampling["lora_name"], _ADAPTERS if "[adapters]" in prompt.text else ())
        answer = _Answer(call, count=int(sampling.get("n", 1)), input_tokens=len(prompt.text.split()))
        whole, reason = [], "stop"
        tokens = _tokens(prompt, call.values("image"), sampling)
        for token, reason in prompt.generate(tokens, int(sampling.get("max_tokens", 16))):
            whole.append(token)
            if not streaming:
                continue
            if call.cancelled:
                fake_llm.log_event(self._name, "cancelled", request_id=call.request_id)
                call.fail("Request was cancelled", code=pb_utils.TritonError.CANCELLED)
                return
            call.send(answer.response(token, [token], reason), final=reason is not None)
        if streaming and not whole:  # its last output always comes
            call.send(answer.response("", [], reason), final=True)
        if not streaming:
            text = prompt.text * echoed + "".join(whole)
            call.send(answer.response(text, whole, reason), final=True)


def _check_adapter(name, known):
    if not known:
        raise ValueError("LoRA feature is not enabled.")
    if name not in known:
        raise ValueError(f"LoRA {name} is not supported, we currently support {known}")


def _tokens(prompt, images, sampling):
    """Return the tokens of an answer: what was seen, special tokens where they are asked for, or what was said."""
    if images:
        if prompt.text.count("<|image_pad|>") != len(images):
            raise RuntimeError("Failed to apply prompt replacement for mm_items['image'][0]")
        files = [base64.b64decode(image, validate=True) for image in images]
        return [f" {file[:4].hex()} {len(file)}" for file in files]
    if "[special]" in prompt.text:
        kept = not sampling.get("skip_special_tokens", True)
        space = " " * sampling.get("spaces_between_special_tokens", True)
        return ["[TOOL_CALLS]", f"{space}[ARGS]"] * kept + ["[]"] + ["</s>"] * kept
    if "lora_name" in sampling:
        return [f"by {sampling['lora_name']}"]
    return prompt.tokens()


class _Answer:
    """The outputs of each response: those that were asked for."""

    def __init__(self, call, count, input_tokens):
        self._wanted = [name for name in _RETURNS if call.value(f"return_{name}", False)]
        self._count = count
        self._input_tokens = input_tokens
        self._sum = 0.0

    def response(self, text, tokens, reason):
        self._sum -= 0.5 * len(tokens)
        positions = [
            {str(len(token)): {"logprob": -0.5, "rank": 1, "decoded_token": token}} for token in tokens
        ]
        values = {
            "finish_reason": ([str(reason)] * self._count, bytes),
            "cumulative_logprob": ([self._sum] * self._count, np.float32),
            "logprobs": ([json.dumps(positions)] * self._count, bytes),
            "num_input_tokens": (self._input_tokens, np.uint32),
            "num_output_tokens": ([len(tokens)] * self._count, np.uint32),
        }
        texts = fake_llm.tensor("text_output", [text] * self._count, bytes)
        return [texts, *(fake_llm.tensor(name, *values[name]) for name in self._wanted)]
