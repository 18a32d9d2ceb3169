"""Images of messages on the wire: base64 for vLLM, urls for TensorRT-LLM's LLM-API, refused elsewhere."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import replace

import pytest
from backends.signatures import ENSEMBLE, LLMAPI, PLAIN, VLLM, changed, specs, without
from core.replies import generation_request
from facade.conftest import by_async_iterator, by_iterator

from nupic_client import (
    ConfigurationError,
    InferenceClient,
    PromptError,
    RequestRejectedError,
    StreamingClient,
    user,
)
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client.backends import TensorBackend, VllmBackend
from nupic_client.backends import images as wire_images
from nupic_client.messages import ImagePart
from nupic_client.testing import FakeTriton, abort, dynamo_signature, fail

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + b"jpeg" * 40
GIF = b"GIF89a" + b"\0" * 20
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + b"\0" * 20
TIFF = b"II*\0" + b"\0" * 20
CAT = "https://example.org/cat.png"
PLACE = "<|vision_start|><|image_pad|><|vision_end|>"
SEES = changed(LLMAPI, name="llava", inputs={**LLMAPI.inputs, **specs("image_url BYTES [-1]")})


@pytest.fixture(params=[by_iterator, by_async_iterator], ids=["sync", "async"])
def read(request):
    return request.param


def ask(read, signature, *content, reply=("a cat",), family="qwen2-vl", **options):
    """Return the request that a server got for a user's message."""
    with (
        FakeTriton(reply, models=[signature]) as server,
        StreamingClient(signature.name, url=server.url, formatter=family) as client,
    ):
        _, generation = read(client, [user([*content])], **options)
        assert generation.text == "a cat"
        return server.requests[-1]


def plain_base64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("data", [PNG, JPEG, GIF, WEBP], ids=["png", "jpeg", "gif", "webp"])
def test_vllm_gets_the_file_in_base64_and_its_place_in_the_prompt(read, data):
    request = ask(read, VLLM, "What is this? ", ImagePart(data), " Say it.")
    assert request.inputs["image"] == [plain_base64(data)]
    assert f"What is this? {PLACE} Say it.<|im_end|>" in request.prompt
    assert request.inputs["stream"] is True


def test_several_images_keep_their_order(read):
    parts = [ImagePart(PNG), "and", ImagePart(JPEG), ImagePart(PNG)]
    request = ask(read, VLLM, *parts)
    assert request.inputs["image"] == [plain_base64(data) for data in (PNG, JPEG, PNG)]
    assert f"{PLACE}and{PLACE}{PLACE}" in request.prompt


def test_a_file_is_read_when_it_is_sent(read, tmp_path):
    path = tmp_path / "cat.png"
    image = ImagePart(path)
    path.write_bytes(JPEG)  # what the bytes say counts, not the suffix
    assert ask(read, VLLM, image).inputs["image"] == [plain_base64(JPEG)]
    assert ask(read, SEES, image).inputs["image_url"] == [f"data:image/jpeg;base64,{plain_base64(JPEG)}"]
    assert image.loaded() == ImagePart(JPEG)
    path.unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ask(read, VLLM, image)
    path.write_bytes(b"no image at all")
    with pytest.raises(
        ConfigurationError, match=r"image 0 must be PNG, .*, not what begins with b'no image'"
    ):
        ask(read, VLLM, image)


def test_the_llm_api_gets_urls(read):
    request = ask(read, SEES, ImagePart(CAT), ImagePart(GIF))
    assert request.inputs["image_url"] == [CAT, f"data:image/gif;base64,{plain_base64(GIF)}"]


def test_a_data_uri_is_the_same_as_its_bytes(read):
    uri = f"data:image/png;base64,{plain_base64(PNG)}"
    assert ask(read, VLLM, ImagePart(uri)).inputs["image"] == [plain_base64(PNG)]
    request = ask(read, SEES, ImagePart(uri))
    assert request.inputs["image_url"] == [uri]


def test_images_in_openais_form(read):
    uri = f"data:image/png;base64,{plain_base64(PNG)}"
    message = {
        "role": "user",
        "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": uri}}],
    }
    with (
        FakeTriton(["a cat"], models=[VLLM]) as server,
        StreamingClient("vllm_model", url=server.url, formatter="qwen2-vl") as client,
    ):
        read(client, [message])
        assert server.requests[0].inputs["image"] == [plain_base64(PNG)]


def test_vllm_fetches_no_urls(read):
    with pytest.raises(ConfigurationError, match="not the url"):
        ask(read, VLLM, ImagePart(CAT))


@pytest.mark.parametrize("signature", [VLLM, SEES], ids=["vllm", "llmapi"])
def test_a_type_that_models_do_not_read_is_refused(read, signature):
    with pytest.raises(
        ConfigurationError, match=r"image 1 must be PNG, JPEG, WebP or GIF .*, not image/tiff"
    ) as caught:
        ask(read, signature, ImagePart(PNG), ImagePart(TIFF))
    assert caught.value.parameter == "content"


def test_images_that_are_too_big_together_are_refused(monkeypatch):
    monkeypatch.setattr(wire_images, "MOST_BYTES", 2**20)
    image = ImagePart(PNG + bytes(2**19))
    VllmBackend().image_values([image], VLLM)
    with pytest.raises(ConfigurationError, match="must have at most 1 MiB together, not 1"):
        VllmBackend().image_values([image, image, image], VLLM)


@pytest.mark.parametrize(
    "signature",
    [PLAIN, ENSEMBLE, LLMAPI, without(VLLM, "image"), dynamo_signature("llama")],
    ids=lambda signature: signature.name,
)
def test_a_model_that_does_not_see_gets_nothing(read, signature):
    with (
        FakeTriton(["x"], models=[signature]) as server,
        StreamingClient(signature.name, url=server.url, formatter="qwen2-vl") as client,
    ):
        with pytest.raises(ConfigurationError, match="must have an input for images") as caught:
            read(client, [user([ImagePart(PNG)])])
        assert caught.value.parameter == "content"
        assert not server.requests
        assert read(client, [user("Hi")])[1].text == "x"


def test_a_family_without_images_says_so(read):
    with pytest.raises(PromptError, match="has no place for images"):
        ask(read, VLLM, ImagePart(PNG), family="chatml")


def test_images_in_two_places_are_refused(read):
    own = {"image": [plain_base64(JPEG)]}
    with pytest.raises(
        ConfigurationError, match="'image' must not be given where messages have images"
    ) as caught:
        ask(read, VLLM, ImagePart(PNG), backend_inputs=own)
    assert caught.value.parameter == "backend_inputs"
    assert ask(read, VLLM, "text only", backend_inputs=own).inputs["image"] == own["image"]


def test_a_model_that_needs_an_image():
    image = dataclasses.replace(VLLM.inputs["image"], optional=False)
    needs = changed(VLLM, inputs={**VLLM.inputs, "image": image})
    cache = RequestCache()
    request = generation_request("vllm_model", "Hi")
    seen = replace(request, images=(ImagePart(PNG),))
    for _ in range(2):
        assert "image" in [tensor.name for tensor in cache.wire_request(seen, needs).message.inputs]
        with pytest.raises(ConfigurationError, match="requires the input 'image'"):
            cache.wire_request(request, needs)


def test_requests_with_and_without_images_share_options_and_nothing_else():
    cache = RequestCache()
    request = generation_request("vllm_model", "Hi", max_tokens=5)
    for data in (None, PNG, None, JPEG, None):
        images = () if data is None else (ImagePart(data),)
        message = cache.wire_request(replace(request, images=images), VLLM).message
        raw = dict(zip([tensor.name for tensor in message.inputs], message.raw_input_contents, strict=True))
        assert raw.get("image", b"")[4:] == (b"" if data is None else base64.b64encode(data))
        assert raw["text_input"][4:] == b"Hi"
        assert b'"max_tokens": 5' in raw["sampling_parameters"]


def test_images_with_everything_else(read):
    request = ask(
        read,
        VLLM,
        ImagePart(PNG),
        lora="sql",
        max_tokens=7,
        logprobs=True,
        outputs=["cumulative_logprob"],
        reply=[{"text_output": "a cat", "logprobs": "null", "cumulative_logprob": [0.5]}],
    )
    assert request.inputs["image"] == [plain_base64(PNG)]
    assert '"lora_name": "sql"' in request.inputs["sampling_parameters"]
    assert request.inputs["return_cumulative_logprob"] is True


def test_an_image_is_sent_again_with_its_request(read):
    answers = iter([[abort("UNAVAILABLE", "try again")], ["a cat"]])
    request = ask(read, VLLM, ImagePart(PNG), reply=lambda _request: next(answers))
    assert request.inputs["image"] == [plain_base64(PNG)]


def test_many_conversations_with_images():
    with (
        FakeTriton(lambda request: [str(len(request.inputs["image"]))], models=[VLLM]) as server,
        StreamingClient("vllm_model", url=server.url, formatter="qwen2-vl") as client,
    ):
        prompts = [[user([ImagePart(PNG)] * number)] for number in (1, 2, 3)]
        assert [answer.text for answer in client.map(prompts)] == ["1", "2", "3"]
    with FakeTriton(["a", "b"], models=[changed(VLLM, decoupled=False)]) as server:
        with InferenceClient("vllm_model", url=server.url, formatter="qwen2-vl") as client:
            assert client.generate([user(["See: ", ImagePart(PNG)])]).text == "ab"
        assert server.requests[0].inputs["image"] == [plain_base64(PNG)]


@pytest.mark.parametrize(
    "words",
    [
        "cannot identify image file <_io.BytesIO object at 0x7f3b>",
        "At most 1 image(s) may be provided in one request.",
        "Failed to apply prompt replacement for mm_items['image'][0]",
        "SmolLM2 is not a multimodal model",
    ],
)
def test_what_vllm_refuses_is_the_callers(read, words):
    with pytest.raises(RequestRejectedError, match="vLLM refused the request"):
        ask(read, VLLM, ImagePart(PNG), reply=[fail(f"Error generating stream: {words}")])


def test_an_own_backend_declares_its_input(read):
    class Own(TensorBackend):
        name = "own"
        image_input = "PICTURE"

        def image_text(self, image):
            return image.data().hex()

    signature = changed(PLAIN, inputs={**PLAIN.inputs, **specs("PICTURE BYTES [-1]")})
    with (
        FakeTriton(["a cat"], models=[signature]) as server,
        StreamingClient("plain", url=server.url, formatter="gemma-3", backend=Own()) as client,
    ):
        read(client, [user([ImagePart(PNG), "What is it?"])])
        assert server.requests[0].inputs["PICTURE"] == [PNG.hex()]
        assert "<start_of_image>What is it?" in server.requests[0].prompt


def test_a_backend_of_the_protocol_alone_cannot_send_images():
    class Own:
        name = "own"

        def __init__(self):
            self.real = VllmBackend()

        def __getattr__(self, name):
            return getattr(self.real, name)

    request = replace(generation_request("vllm_model", "Hi"), images=(ImagePart(PNG),), backend=Own())
    with pytest.raises(ConfigurationError, match="backend 'own' must be a TensorBackend to send images"):
        RequestCache().wire_request(request, VLLM)
