from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
from backends.signatures import ENGINE, changed, sent, without

from nupic_client import SamplingParams
from nupic_client._core.generation.text import TokenJoiner
from nupic_client.backends import DEFAULT_MAX_TOKENS, TrtllmEngineBackend
from nupic_client.errors import ConfigurationError


class ByteTokenizer:
    """One token a byte, so that characters are torn apart as byte-level tokenizers tear them."""

    eos_token_id = 256
    pad_token_id = None

    def encode(self, text):
        return list(text.encode())

    def decode(self, ids):
        return bytes(ids).decode(errors="replace")


BACKEND = TrtllmEngineBackend(ByteTokenizer())


def inputs(signature=ENGINE, *, backend=BACKEND, prompt="Hi", stream=True, logprobs=None, **options):
    return sent(
        backend, signature, prompt, stream=stream, logprobs=logprobs, sampling=SamplingParams(**options)
    )


def test_what_is_sent_without_any_option():
    assert inputs() == {
        "input_ids": ("INT32", (1, 2), (72, 105)),
        "input_lengths": ("INT32", (1, 1), (2,)),
        "end_id": ("INT32", (1, 1), (256,)),
        "pad_id": ("INT32", (1, 1), (256,)),
        "streaming": ("BOOL", (1, 1), (True,)),
        "exclude_input_in_output": ("BOOL", (1, 1), (True,)),
        "request_output_len": ("INT32", (1, 1), (DEFAULT_MAX_TOKENS,)),
        "return_num_input_tokens": ("BOOL", (1, 1), (True,)),
        "return_num_output_tokens": ("BOOL", (1, 1), (True,)),
    }


@pytest.mark.parametrize(
    ("option", "value", "name", "datatype"),
    [
        ("max_tokens", 5, "request_output_len", "INT32"),
        ("temperature", 0.5, "temperature", "FP32"),
        ("top_p", 0.25, "runtime_top_p", "FP32"),
        ("top_k", 40, "runtime_top_k", "INT32"),
        ("seed", 7, "seed", "UINT64"),
        ("repetition_penalty", 1.5, "repetition_penalty", "FP32"),
        ("presence_penalty", 1.0, "presence_penalty", "FP32"),
        ("frequency_penalty", 2.0, "frequency_penalty", "FP32"),
    ],
)
def test_an_option_is_an_input_of_the_engines_own_name(option, value, name, datatype):
    assert BACKEND.supports(option, ENGINE)
    assert inputs(**{option: value})[name] == (datatype, (1, 1), (value,))


@pytest.mark.parametrize("option", ["min_p", "stop"])
def test_some_options_have_no_input(option):
    assert not BACKEND.supports(option, ENGINE)


def test_stop_strings_are_left_to_the_client():
    assert inputs(stop="x").keys() == inputs().keys()


def test_without_a_tokenizer_it_is_explained_what_to_do():
    with pytest.raises(
        ConfigurationError, match=r"token ids, not text.*'ensemble'.*TrtllmEngineBackend\(tokenizer\)"
    ):
        inputs(backend=TrtllmEngineBackend())


def test_a_prompt_without_tokens_is_refused():
    with pytest.raises(ConfigurationError, match="at least one"):
        inputs(prompt="")


def test_an_encoding_with_ids_is_taken_too():
    tokenizer = SimpleNamespace(encode=lambda text: SimpleNamespace(ids=[1, 2, 3]), decode=str)
    made = inputs(backend=TrtllmEngineBackend(tokenizer))
    assert made["input_ids"][2] == (1, 2, 3)
    assert not {"end_id", "pad_id"} & made.keys()


def test_a_pad_token_of_its_own_is_used():
    tokenizer = ByteTokenizer()
    tokenizer.pad_token_id = 0
    assert inputs(backend=TrtllmEngineBackend(tokenizer))["pad_id"][2] == (0,)


def test_an_engine_that_knows_its_end_is_not_told():
    assert not {"end_id", "pad_id"} & inputs(without(ENGINE, "end_id", "pad_id")).keys()


def test_log_probabilities_follow_the_engines_rules():
    assert inputs(logprobs=0, top_k=1)["return_log_probs"][2] == (True,)
    with pytest.raises(ConfigurationError, match="top_k"):
        inputs(logprobs=0)


def test_the_layout_tells_where_the_token_ids_stand_and_how_they_become_text():
    output_names = BACKEND.output_names(ENGINE, cumulative=None)
    assert (output_names.text, output_names.cumulative, output_names.echo) == ("output_ids", False, False)
    assert output_names.detokenize([72, 105, 256]) == "Hi"


def test_a_model_that_is_not_decoupled_is_refused():
    assert "decoupled_mode:true" in BACKEND.refuse_streaming(changed(ENGINE, decoupled=False))
    assert inputs(changed(ENGINE, decoupled=False))["streaming"][2] == (False,)


# P-F4: tokenizers that clean up spaces


class CleaningTokenizer(ByteTokenizer):
    """It removes spaces before punctuation unless it is told not to, as those of ``transformers`` may."""

    def decode(self, ids, *, clean_up_tokenization_spaces=True):
        text = super().decode(ids)
        return text.replace(" .", ".").replace(" n't", "n't") if clean_up_tokenization_spaces else text


class Wrapped(ByteTokenizer):
    """It passes keywords on to a tokenizer that takes none or some."""

    def __init__(self, inner):
        self.inner = inner

    def decode(self, ids, **keywords):
        return self.inner.decode(ids, **keywords)


@pytest.mark.parametrize(
    "tokenizer",
    [CleaningTokenizer(), Wrapped(CleaningTokenizer()), Wrapped(ByteTokenizer()), ByteTokenizer()],
)
def test_text_is_decoded_without_cleaning_up_spaces_where_the_tokenizer_lets_us(tokenizer):
    """P-F4."""
    decode = TrtllmEngineBackend(tokenizer).output_names(ENGINE, cumulative=None).detokenize
    assert decode(b"Hello . I do n't. \xff") == "Hello . I do n't. \ufffd"


def test_a_cleaning_tokenizer_loses_no_characters_of_a_stream():
    """P-F4, the report's own example."""
    decode = TrtllmEngineBackend(CleaningTokenizer()).output_names(ENGINE, cumulative=None).detokenize
    joiner = TokenJoiner(decode)
    text = "".join([joiner.feed(part) for part in (b"Hello", b" ", b".", b" world")]) + joiner.flush()
    assert text == "Hello . world"


def test_a_backend_with_a_tokenizer_can_be_pickled():
    again = pickle.loads(pickle.dumps(TrtllmEngineBackend(Wrapped(ByteTokenizer()))))
    assert again.output_names(ENGINE, cumulative=None).detokenize(b"a") == "a"
