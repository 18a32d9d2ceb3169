"""Images, LoRA adapters and special tokens through the real server, to the stand-in for the vLLM backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import RequestRejectedError, StreamingClient, user
from nupic_client.messages import ImagePart

PNG = b"\x89PNG\r\n\x1a\n" + bytes(300_000)
JPEG = b"\xff\xd8\xff\xe0" + b"jpeg" * 40


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request):
    return request.param


@pytest.fixture
def client(real_triton):
    with StreamingClient("vllm_model", url=real_triton.url, formatter="qwen2-vl") as client:
        yield client


def test_the_model_sees_the_files_in_their_order(read, client):
    content = ["Compare ", ImagePart(PNG), " with ", ImagePart(JPEG)]
    _, generation = read(client, [user(content)])
    assert generation.text == f" {PNG[:4].hex()} {len(PNG)} {JPEG[:4].hex()} {len(JPEG)}"
    assert read(client, [user("no image")])[1].text.startswith("You said: ")


def test_a_prompt_without_a_place_for_the_image_is_the_callers_fault(read, client):
    with pytest.raises(RequestRejectedError, match="Failed to apply prompt replacement"):
        read(client, "no place", backend_inputs={"image": ["AAAA"]})


def test_an_adapter_is_chosen_by_its_name(read, client):
    assert read(client, "[adapters]", lora="sheep")[1].text == "by sheep"
    with pytest.raises(RequestRejectedError, match="did you mean 'sheep'\\? the server has 'doll', 'sheep'"):
        read(client, "[adapters]", lora="shep")
    with pytest.raises(RequestRejectedError, match="has no LoRA adapters: leave lora= out"):
        read(client, "Hi", lora="sheep")


def test_special_tokens_stay_where_an_answer_needs_them(real_triton, read):
    class Keeping(StreamingClient):
        """A client whose answers are marked by special tokens."""

        def _request(self, *arguments, **options):
            return replace(super()._request(*arguments, **options), keep_special_tokens=True)

    with StreamingClient("vllm_model", url=real_triton.url, stop="</s>") as client:
        assert read(client, "[special]")[1].text == "[]"
    with Keeping("vllm_model", url=real_triton.url, stop="</s>") as client:
        assert read(client, "[special]")[1].text == "[TOOL_CALLS][]"
