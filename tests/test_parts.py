from __future__ import annotations

import base64
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import ImagePart, TextPart
from nupic_client.errors import ConfigurationError
from nupic_client.parts import MOST_BYTES

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
JPEG = b"\xff\xd8\xff\xe0" + bytes(8)


def uri(data, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a" + bytes(8), "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"BM\x10\x00\x00\x00\x00\x00\x00\x00", "image/bmp"),
        (b"II*\x00" + bytes(8), "image/tiff"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
        (b"\x00\x00\x00\x1cftypheic", "image/heic"),
    ],
)
def test_bytes_say_what_they_are(data, media_type):
    image = ImagePart(data)
    assert (image.media_type, image.data()) == (media_type, data)
    assert image.url == image.data_uri() == uri(data, media_type)
    assert ImagePart(image.url) == image
    assert ImagePart(data, "image/x-other").media_type == "image/x-other"


def test_a_url_is_kept_and_not_fetched():
    image = ImagePart("https://example.org/a.JPG?size=5#x")
    assert (image.url, image.media_type) == ("https://example.org/a.JPG?size=5#x", "image/jpeg")
    assert ImagePart("http://example.org/").media_type == ""
    for method in (image.data, image.data_uri):
        with pytest.raises(ConfigurationError, match="urls are not fetched for you"):
            method()


def test_a_file_is_read_when_it_is_sent(tmp_path):
    path = tmp_path / "a.png"
    image = ImagePart(path)
    assert (image.url, image.media_type) == (None, "image/png")
    with pytest.raises(ConfigurationError, match=r"the image '.*a.png' cannot be read: No such file"):
        image.data()
    path.write_bytes(JPEG)
    assert image.data() == JPEG
    assert image.data_uri() == uri(JPEG, "image/jpeg")  # the suffix was wrong
    path.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="must have at least one byte"):
        image.data()
    path.write_bytes(b"<html>")
    assert image.data_uri() == uri(b"<html>")  # a suffix says so
    with pytest.raises(ConfigurationError, match="must be PNG, JPEG"):
        ImagePart(path.rename(tmp_path / "a")).data()
    assert ImagePart(str(path)) == ImagePart(path)


def test_an_image_that_is_too_big(tmp_path):
    with pytest.raises(ConfigurationError, match="at most 32 MiB"):
        ImagePart(PNG + bytes(MOST_BYTES))
    with pytest.raises(ConfigurationError, match="at most 32 MiB"):
        ImagePart("data:image/png;base64," + "A" * (MOST_BYTES * 4 // 3 + 8))
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(ConfigurationError, match="at most 32 MiB"):
        ImagePart(path).data()


class Picture:
    """As Pillow's image."""

    mode, size = "CMYK", (1, 1)

    def __init__(self, data=PNG):
        self.saved = data

    def convert(self, mode):
        assert mode == "RGB"
        twin = Picture(self.saved)
        twin.mode = mode
        return twin

    def save(self, file, kind, **_options):
        assert (self.mode, kind) == ("RGB", "PNG")
        if self.saved is None:
            raise OSError("broken data stream")
        file.write(self.saved)


def test_an_image_of_pillow_is_kept_as_a_png():
    assert ImagePart(Picture()) == ImagePart(PNG)
    with pytest.raises(ConfigurationError, match="cannot be kept as a PNG: broken data stream"):
        ImagePart(Picture(None))


def test_a_real_image_of_pillow():
    image = pytest.importorskip("PIL.Image")
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I"):
        assert ImagePart(image.new(mode, (2, 2))).data().startswith(PNG[:8])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "must be a path, an http"),
        ("ftp://example.org/a.png", "not 'ftp://example.org/a.png'"),
        ("http://a b", "no spaces"),
        ("http://" + "a" * 9000, "at most 8192 characters"),
        ("data:image/png,abc", "a data URI must be like"),
        ("data:image/png;base64,?", "must be base64"),
        (uri(PNG, "text/plain"), "must be of a type like 'image/png'"),
        (b"", "must have at least one byte"),
        (b"hello", "must be PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC, not what begins with b'hello'"),
        ("a\0b", "without NUL"),
        ("\ud800", "lone surrogate"),
        (5, "not int"),
        (None, "not NoneType"),
        ([PNG], "not list"),
    ],
)
def test_what_is_no_image(source, words):
    with pytest.raises(ConfigurationError, match=words.replace("(", r"\(")):
        ImagePart(source)


@pytest.mark.parametrize("media_type", ["png", "text/plain", 5, "image/", "image/p ng"])
def test_wrong_media_types(media_type):
    with pytest.raises(ConfigurationError, match="media_type of an image must be like 'image/png'"):
        ImagePart(PNG, media_type)


def test_parts_are_values():
    for part in (ImagePart(PNG), ImagePart("a.png"), ImagePart("https://example.org/a"), TextPart("Hi")):
        assert pickle.loads(pickle.dumps(part)) == part
        assert len({part, pickle.loads(pickle.dumps(part))}) == 1
    with pytest.raises(AttributeError):
        ImagePart(PNG).source = b""
    assert repr(ImagePart(PNG)) == "ImagePart(<16 bytes>, 'image/png')"
    assert repr(ImagePart(Path("a.png"))) == "ImagePart('a.png')"
    with pytest.raises(ConfigurationError, match="text of a TextPart must be a string"):
        TextPart(5)


@given(st.text() | st.binary(), st.sampled_from(["", "data:", "data:image/png;base64,", "https://"]))
def test_anything_is_an_image_or_a_configuration_error(source, front):
    try:
        image = ImagePart(front + source if isinstance(source, str) else source)
    except ConfigurationError:
        return
    assert repr(image)
    assert hash(image) == hash(ImagePart(image.source, image.media_type))
