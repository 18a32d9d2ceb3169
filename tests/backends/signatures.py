"""Signatures as real servers state them, made by hand."""

from __future__ import annotations

from nupic_client.backends import ModelSignature, TensorSpec


def specs(text):
    """Read ``name DTYPE [dim,dim]`` lines; a name with a ``!`` is required."""
    found = {}
    for line in text.strip().splitlines():
        name, datatype, *shape = line.split()
        dims = tuple(int(size) for size in shape[0].strip("[]").split(",") if size) if shape else (1,)
        required = name.endswith("!")
        name = name.rstrip("!")
        found[name] = TensorSpec(name, datatype, dims, optional=not required)
    return found


def results(text):
    """Read the lines of outputs, which are never optional."""
    return {name: TensorSpec(name, spec.datatype, spec.shape) for name, spec in specs(text).items()}


def without(signature, *names):
    """Return a signature that lacks some inputs or outputs."""
    return changed(
        signature,
        inputs={name: spec for name, spec in signature.inputs.items() if name not in names},
        outputs={name: spec for name, spec in signature.outputs.items() if name not in names},
    )


def changed(signature, **changes):
    """Return a signature with other attributes."""
    names = ("name", "inputs", "outputs", "decoupled", "max_batch_size", "backend", "platform", "parameters")
    return ModelSignature(**({name: getattr(signature, name) for name in names} | changes))


VLLM = ModelSignature(
    name="vllm_model",
    inputs=specs(
        """
        text_input! BYTES
        stream BOOL
        sampling_parameters BYTES
        exclude_input_in_output BOOL
        image BYTES [-1]
        return_finish_reason BOOL
        return_cumulative_logprob BOOL
        return_logprobs BOOL
        return_num_input_tokens BOOL
        return_num_output_tokens BOOL
        embedding_request BYTES
        """
    ),
    outputs=results(
        """
        text_output BYTES [-1]
        finish_reason BYTES [-1]
        cumulative_logprob FP32 [-1]
        logprobs BYTES [-1]
        num_input_tokens UINT32
        num_output_tokens UINT32 [-1]
        """
    ),
    decoupled=True,
    backend="vllm",
)

_TRTLLM_INPUTS = """
    text_input! BYTES
    decoder_text_input BYTES
    max_tokens! INT32
    bad_words BYTES [-1]
    stop_words BYTES [-1]
    exclude_input_in_output BOOL
    end_id INT32
    pad_id INT32
    top_k INT32
    top_p FP32
    temperature FP32
    length_penalty FP32
    repetition_penalty FP32
    min_tokens INT32
    presence_penalty FP32
    frequency_penalty FP32
    seed UINT64
    return_log_probs BOOL
    return_num_input_tokens BOOL
    return_num_output_tokens BOOL
    beam_width INT32
    stream BOOL
"""
_TRTLLM_OUTPUTS = """
    text_output BYTES [-1]
    cum_log_probs FP32 [-1]
    output_log_probs FP32 [-1,-1]
    batch_index INT32
    num_input_tokens INT32
    num_output_tokens INT32
"""
ENSEMBLE = ModelSignature(
    name="ensemble",
    inputs=specs(_TRTLLM_INPUTS),
    outputs=results(_TRTLLM_OUTPUTS),
    decoupled=True,
    max_batch_size=4,
    platform="ensemble",
)
BLS = changed(
    ENSEMBLE,
    name="tensorrt_llm_bls",
    platform="",
    backend="python",
    inputs=specs(_TRTLLM_INPUTS + "num_draft_tokens INT32\n"),
    parameters={"accumulate_tokens": "false", "tensorrt_llm_model_name": "tensorrt_llm"},
)
BLS_ACCUMULATING = changed(BLS, parameters={"accumulate_tokens": "True"})

LLMAPI = ModelSignature(
    name="tensorrt_llm",
    inputs=specs(
        """
        text_input! BYTES [-1]
        streaming BOOL
        sampling_param_max_tokens INT32
        sampling_param_top_k INT32
        sampling_param_best_of INT32
        sampling_param_temperature FP32
        sampling_param_top_p FP32
        sampling_param_frequency_penalty FP32
        sampling_param_presence_penalty FP32
        sampling_param_stop BYTES [-1]
        sampling_param_seed UINT64
        sampling_param_exclude_input_from_output BOOL
        sampling_param_return_perf_metrics BOOL
        return_finish_reason BOOL
        return_stop_reason BOOL
        return_cumulative_logprob BOOL
        stop BOOL
        """
    ),
    outputs=results(
        """
        text_output BYTES [-1]
        finish_reason BYTES [-1]
        stop_reason BYTES [-1]
        cumulative_logprob FP32 [-1]
        """
    ),
    decoupled=True,
    backend="python",
)

ENGINE = ModelSignature(
    name="tensorrt_llm",
    inputs=specs(
        """
        input_ids INT32 [-1]
        input_lengths! INT32
        request_output_len! INT32
        end_id INT32
        pad_id INT32
        stop_words_list INT32 [2,-1]
        runtime_top_k INT32
        runtime_top_p FP32
        temperature FP32
        len_penalty FP32
        repetition_penalty FP32
        presence_penalty FP32
        frequency_penalty FP32
        seed UINT64
        exclude_input_in_output BOOL
        return_log_probs BOOL
        return_num_input_tokens BOOL
        return_num_output_tokens BOOL
        stop BOOL
        streaming BOOL
        """
    ),
    outputs=results(
        """
        output_ids INT32 [-1,-1]
        sequence_length INT32 [-1]
        cum_log_probs FP32 [-1]
        output_log_probs FP32 [-1,-1]
        num_input_tokens INT32
        num_output_tokens INT32
        """
    ),
    decoupled=True,
    max_batch_size=4,
    backend="tensorrtllm",
)

PLAIN = ModelSignature(
    name="plain",
    inputs=specs("text_input! BYTES\nmax_tokens INT32"),
    outputs=results("text_output BYTES"),
    decoupled=True,
    backend="python",
)


def sent(backend, signature, prompt="Hi", *, stream=True, logprobs=None, sampling):
    """Return the inputs of a request as name -> (datatype, shape, values)."""
    tensors = backend.inputs(signature, prompt, sampling, stream=stream, logprobs=logprobs)
    names = [tensor.name for tensor in tensors]
    assert len(names) == len(set(names))
    return {tensor.name: (tensor.datatype, tensor.shape, tensor.values) for tensor in tensors}
