"""Images, LoRA adapters and special tokens through the real server, to the stand-ins for the backends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import HttpInferenceClient, Lora, RequestRejectedError, StreamingClient, user
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
        assert read(client, "[special]")[1].text == "[TOOL_CALLS][ARGS][]"


def test_over_http_the_model_sees_the_same(real_triton):
    content = [ImagePart(JPEG), " and ", ImagePart(PNG)]
    with HttpInferenceClient("vllm_model", real_triton.http_url, formatter="qwen2-vl") as client:
        seen = client.generate([user(content)]).text
        assert seen == f" {JPEG[:4].hex()} {len(JPEG)} {PNG[:4].hex()} {len(PNG)}"
        assert client.generate("[adapters]", lora="doll").text == "by doll"
        with pytest.raises(RequestRejectedError, match="did you mean 'doll'\\?"):
            client.generate("[adapters]", lora="dol")


def test_the_llm_api_model_gets_urls_and_adapters(real_triton, read):
    adapter = Lora("sql", id=2**63, path="/adapters/sql", source="nemo")
    with StreamingClient("llmapi", url=real_triton.url, formatter="qwen2-vl") as client:
        _, generation = read(client, [user([ImagePart("https://example.org/a.png"), ImagePart(JPEG)])])
        first, second = generation.text.split()
        assert (first, second[:27]) == ("https://example.org/a.png", "data:image/jpeg;base64,/9j/")
        assert read(client, "Hi", lora=adapter)[1].text.split() == [
            str(2**63),
            "sql",
            "/adapters/sql",
            "nemo",
        ]
        assert read(client, "Hi")[1].text.startswith("You said: Hi")
