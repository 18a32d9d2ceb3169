"""`StreamingClient` against the stand-ins of every backend, served by the real server.

The server checks names, data types and shapes of what the client sends; the models answer as the backends do that
they stand for, see `test_repository`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import ConfigurationError, FinishReason, InferenceError, StreamingClient
from nupic_client.backends import TrtllmEngineBackend

if TYPE_CHECKING:
    from triton.server import RealTriton

PROMPT = "hi there"
TOKENS = ["You", " said:", " hi", " there", " 🎉", " Grüße!"]
ANSWER = "".join(TOKENS)
DAMAGED = b"".join(
    ANSWER.encode()[start : start + 3].decode(errors="replace").encode()
    for start in range(0, len(ANSWER.encode()), 3)
).decode()
"""The answer of a model that decodes the tokens of each response by themselves: the damage is the server's."""


class ThreeBytes:
    """The tokenizer of the stand-in for the engine: three bytes a token."""

    def encode(self, text: str) -> list[int]:
        data = text.encode()
        chunks = [data[start : start + 3] for start in range(0, len(data), 3)]
        return [len(chunk) << 24 | int.from_bytes(chunk, "little") for chunk in chunks]

    def decode(self, ids: list[int]) -> str:
        data = b"".join((number & 0xFFFFFF).to_bytes(3, "little")[: number >> 24] for number in ids)
        return data.decode(errors="replace")


ENGINE = TrtllmEngineBackend(ThreeBytes())
EXACT = ("vllm_model", "llmapi", "tensorrt_llm_bls_accumulate", "tensorrt_llm")
THREE_STEPS = ("ensemble", "tensorrt_llm_bls", "tensorrt_llm_bls_accumulate")
STREAMING = ("vllm_model", "llmapi", *THREE_STEPS, "tensorrt_llm")

Read = "Callable[..., tuple[list[str], Any]]"


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request: pytest.FixtureRequest, real_triton: RealTriton) -> Any:
    """Return what generates with a model in one flavour: its chunks and the generation."""

    def generate(model: str, prompt: str = PROMPT, **options: Any) -> Any:
        backend = options.pop("backend", ENGINE if model == "tensorrt_llm" else None)
        with StreamingClient(model, url=real_triton.url, backend=backend) as client:
            return request.param(client, prompt, **options)

    return generate


# --- text


@pytest.mark.parametrize("model", EXACT)
def test_the_text_is_exact(read, model):
    chunks, generation = read(model)
    assert generation.text == "".join(chunks) == ANSWER
    assert len(chunks) > 1


@pytest.mark.parametrize("model", ["ensemble", "tensorrt_llm_bls"])
def test_what_the_server_has_damaged_is_passed_on_as_it_is(read, model):
    chunks, generation = read(model)
    assert generation.text == "".join(chunks) == DAMAGED
    assert read(model, "plain")[1].text.startswith("You said: plain ")


@pytest.mark.parametrize("model", ["vllm_model", "llmapi"])
def test_each_token_is_a_piece(read, model):
    assert read(model)[0] == TOKENS


def test_a_plain_model_that_streams(read):
    assert read("gpt.streaming")[0] == ["Hello", ", ", "world", "!"]


@pytest.mark.parametrize("model", STREAMING)
def test_the_prompt_is_never_echoed(read, model):
    assert read(model, "echo me")[1].text.startswith("You said: echo me")


@pytest.mark.parametrize("model", STREAMING)
def test_a_long_answer_is_not_cut_by_the_models_own_small_limit(read, model):
    text = read(model, "[repeat=60]")[1].text
    assert text == "".join(f" {index}" for index in range(60))


# --- facts


def test_vllm_tells_everything(read):
    chunks, generation = read("vllm_model", logprobs=True)
    assert generation.finish_reason is FinishReason.STOP
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (2, len(TOKENS))
    assert [told.token for told in generation.logprobs] == chunks
    assert {told.logprob for told in generation.logprobs} == {-0.5}


@pytest.mark.parametrize("model", ["vllm_model", "llmapi"])
def test_the_limit_is_the_reason(read, model):
    chunks, generation = read(model, max_tokens=2)
    assert (chunks, generation.finish_reason) == (TOKENS[:2], FinishReason.LENGTH)


@pytest.mark.parametrize("model", [*THREE_STEPS, "tensorrt_llm"])
def test_trtllm_counts_tokens(read, model):
    _, generation = read(model, max_tokens=4)
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (3, 4)


def test_the_llm_api_tells_the_reason_but_no_counts(read):
    _, generation = read("llmapi")
    assert generation.finish_reason is FinishReason.STOP
    assert generation.usage.output_tokens is None


# --- options

OPTIONS: dict[str, Any] = {
    "max_tokens": 3,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 4,
    "seed": 2**64 - 1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.2,
}


@pytest.mark.parametrize("model", STREAMING)
def test_the_server_accepts_every_option(read, model):
    more = {} if model == "llmapi" else {"repetition_penalty": 1.1}
    _, generation = read(model, "a b c d e f", **OPTIONS, **more)
    assert "You said: a b c d".startswith(generation.text)
    assert generation.text


@pytest.mark.parametrize("model", STREAMING)
def test_a_stop_string_ends_the_text_and_is_not_in_it(read, model):
    chunks, generation = read(model, "one STOP two", stop=["STOP", "never"])
    assert generation.text == "".join(chunks) == "You said: one "
    assert generation.finish_reason is FinishReason.STOP


# --- errors


@pytest.mark.parametrize("model", STREAMING)
def test_a_model_that_fails_after_a_token(read, model):
    with pytest.raises(InferenceError, match="engine exploded at token 1") as caught:
        read(model, "[fail=1] hi", request_id="r1")
    error = caught.value
    # The steps of an ensemble run at the same time: the error of one may overtake the token before it.
    assert error.partial_text in {"You", "You said:", "" if model == "ensemble" else "You"}
    assert (error.model, error.request_id, error.retryable) == (model, "r1", False)


@pytest.mark.parametrize("model", ["tensorrt_llm_bls", "tensorrt_llm_bls_accumulate"])
def test_of_the_traceback_of_a_bls_the_message_has_the_last_line(read, model):
    with pytest.raises(InferenceError) as caught:
        read(model, "[fail=0] hi")
    assert caught.value.message.endswith("engine exploded at token 0")
    assert "Traceback" not in caught.value.message
    assert caught.value.server_message.startswith("Traceback")


def test_an_llm_api_as_it_is_shipped_is_refused_with_what_to_do(read):
    with pytest.raises(ConfigurationError, match=r"decoupled: True.*model\.yaml"):
        read("llmapi_once")


def test_an_engine_without_a_tokenizer_is_refused(read):
    with pytest.raises(ConfigurationError, match=r"token ids, not text.*tensorrt_llm_bls"):
        read("tensorrt_llm", backend="trtllm_engine")


def test_a_model_that_answers_once_names_its_twin(read):
    with pytest.raises(ConfigurationError, match=r"use 'gpt\.streaming'"):
        read("gpt")


@pytest.mark.parametrize("model", ["sbert", "bert-classifier"])
def test_a_model_without_text_is_refused(read, model):
    with pytest.raises(ConfigurationError):
        read(model)


# --- none and many


def test_vllm_gives_outputs_beside_its_text(read):
    chunks, generation = read("vllm_model", outputs=["cumulative_logprob", "logprobs", "num_output_tokens"])
    assert chunks == TOKENS
    assert generation.outputs["cumulative_logprob"].tolist() == [-0.5 * len(TOKENS)]
    assert generation.outputs["num_output_tokens"].tolist() == [1]
    assert isinstance(generation.outputs["logprobs"][0], str)
    assert generation.usage.output_tokens == len(TOKENS)


def test_an_answer_without_tokens(read):
    chunks, generation = read("vllm_model", "[repeat=0]")
    assert (chunks, generation.text) == ([], "")
    assert generation.timing.time_to_first_token is None


def test_32_threads_share_a_vllm_model(real_triton):
    prompts = [f"thread {index}" for index in range(32)]
    with StreamingClient("vllm_model", url=real_triton.url) as client, ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(lambda prompt: client.generate(f"[delay=0.005]{prompt}").text, prompts))
    assert texts == [f"You said: {prompt} 🎉 Grüße!" for prompt in prompts]


def test_32_tasks_share_a_vllm_model(real_triton):
    prompts = [f"task {index}" for index in range(32)]

    async def main() -> list[str]:
        async with StreamingClient("vllm_model", url=real_triton.url) as client:
            calls = (client.agenerate(f"[delay=0.005]{prompt}") for prompt in prompts)
            return [generation.text for generation in await asyncio.gather(*calls)]

    assert asyncio.run(main()) == [f"You said: {prompt} 🎉 Grüße!" for prompt in prompts]
