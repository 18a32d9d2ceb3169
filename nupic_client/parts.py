"""The parts of a message's content: texts and images."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

from nupic_client._public import publish
from nupic_client._text import check_text
from nupic_client.errors import ConfigurationError

__all__ = ["ContentPart", "ImagePart", "TextPart"]

MOST_BYTES = 32 * 2**20
"""The largest image: more than any model looks at, less than what a server refuses."""
_LONGEST_URL = 8192
_SUFFIXES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".heic": "image/heic",
}
_MAGIC = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{4}\x00{4}", re.DOTALL), "image/bmp"),
    (re.compile(rb"II\*\x00|MM\x00\*"), "image/tiff"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb".{4}ftyp(?:hei[cx]|mif1)", re.DOTALL), "image/heic"),
)
_KNOWN = "PNG, JPEG, GIF, WebP, BMP, TIFF, AVIF or HEIC"
_MEDIA_TYPE = re.compile(r"image/[\w.+-]{1,64}")
_DATA_URI = re.compile(r"data:(?P<type>[^;,]*)(?P<more>(?:;[^;,]*)*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text among the parts of a content. A content without an image is one text, and needs none of these."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ConfigurationError(
                f"text of a TextPart must be a string, not {type(self.text).__name__}", parameter="text"
            )


@dataclass(frozen=True, slots=True, repr=False)
class ImagePart:
    """An image among the parts of a content. Immutable, hashable, picklable; a file is read when it is sent.

    Args:
        source: a path, the bytes of a file, an ``http(s)`` url, a data URI, or an image of Pillow, which is kept as a PNG of
            its present pixels.
        media_type: such as ``"image/png"``; found out where it is not given.

    Raises:
        ConfigurationError: it is none of these, or no image that is known, or too big.

    Example:
        >>> ImagePart("https://example.org/cat.png").media_type
        'image/png'
    """

    source: str | bytes | Path
    media_type: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.media_type, str) or not (
            self.media_type == "" or _MEDIA_TYPE.fullmatch(self.media_type)
        ):
            raise _refused(f"media_type of an image must be like 'image/png', not {self.media_type!r}")
        source, found = _read(cast("object", self.source), self.media_type)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "media_type", self.media_type or found)

    @property
    def url(self) -> str | None:
        """The ``http(s)`` url, or the data URI of bytes; None for a file, which `data_uri` reads."""
        if isinstance(self.source, str):
            return self.source
        return None if isinstance(self.source, Path) else self.data_uri()

    def loaded(self) -> ImagePart:
        """Return the image with its bytes in place of a file, which is read now; others as they are.

        Raises:
            ConfigurationError: the file cannot be read or is no image.
        """
        return ImagePart(*self._file()) if isinstance(self.source, Path) else self

    def data(self) -> bytes:
        """Return the bytes of the image; a file is read now.

        Raises:
            ConfigurationError: the file cannot be read or is no image, or there is a url only.
        """
        if isinstance(self.source, bytes):
            return self.source
        if isinstance(self.source, str):
            raise _refused(
                f"an image must be bytes or a file here, not the url {self.source!r}: this backend takes the image itself,"
                " and urls are not fetched for you"
            )
        return self._file()[0]

    def data_uri(self) -> str:
        """Return the image as a data URI; a file is read now.

        Raises:
            ConfigurationError: as for `data`.
        """
        data, media_type = self._file() if isinstance(self.source, Path) else (self.data(), self.media_type)
        return f"data:{media_type};base64,{base64.b64encode(data).decode()}"

    def _file(self) -> tuple[bytes, str]:
        path = cast("Path", self.source)
        try:
            with path.open("rb") as file:
                data = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise _refused(f"the image {str(path)!r} cannot be read: {error.strerror or error}") from error
        return data, _checked(data, self.media_type, f"the image {str(path)!r}")

    def __repr__(self) -> str:
        if isinstance(self.source, bytes):
            return f"ImagePart(<{len(self.source)} bytes>, {self.media_type!r})"
        return f"ImagePart({self.source if isinstance(self.source, str) else str(self.source)!r})"


ContentPart: TypeAlias = TextPart | ImagePart
"""What a content with an image is made of."""


def part_dict(part: ContentPart) -> dict[str, Any]:
    """Return a part in OpenAI's form; the file of an image is read."""
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": part.url or part.data_uri()}}


def image_at(address: str) -> ImagePart:
    """Return the image at a url or in a data URI, but not the one in a file: who writes a message may not read files.

    Raises:
        ConfigurationError: it is neither.
    """
    if not address.lower().startswith(("http://", "https://", "data:")):
        raise _refused(
            f"an image in a mapping must be an http(s) url or a data URI, not {address[:80]!r}: give"
            " ImagePart(path) for a file, which text that others wrote cannot name"
        )
    return ImagePart(address)


def _read(source: object, media_type: str) -> tuple[str | bytes | Path, str]:
    """Return what is kept of an image, and its media type where that is known."""
    if isinstance(source, str):
        lower = source[:8].lower()
        if lower.startswith("data:"):
            return _of_data_uri(source, media_type)
        if lower.startswith(("http://", "https://")):
            return _of_url(source)
        if not source or re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source):
            raise _refused(f"an image must be a path, an http(s) url or a data URI, not {source[:80]!r}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return data, _checked(data, media_type, "the image")
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if not isinstance(path, str) or "\0" in path:
            raise _refused(f"the path of an image must be a string without NUL, not {path!r}")
        check_text("the path of an image", path)
        return Path(path), _SUFFIXES.get(Path(path).suffix.lower(), "")
    if callable(getattr(source, "save", None)) and hasattr(source, "mode") and hasattr(source, "size"):
        return _png(source), "image/png"
    raise _refused(
        f"an image must be a path, bytes, a url, a data URI or an image of Pillow, not {type(source).__name__}"
    )


def _of_url(url: str) -> tuple[str, str]:
    if len(url) > _LONGEST_URL or re.search(r"[\x00-\x20\x7f]", url):
        raise _refused(
            f"the url of an image must have at most {_LONGEST_URL} characters and no spaces, not {url[:80]!r}"
        )
    check_text("the url of an image", url)
    path = re.sub(r"[?#].*", "", url)
    return url, _SUFFIXES.get(os.path.splitext(path)[1].lower(), "")  # noqa: PTH122 - a url is no path


def _of_data_uri(uri: str, media_type: str) -> tuple[bytes, str]:
    match = _DATA_URI.fullmatch(uri)
    if match is None or not match["more"].lower().endswith(";base64"):
        raise _refused(f"a data URI must be like 'data:image/png;base64,…', not {uri[:40]!r}")
    return _decoded(match["data"], media_type or match["type"].lower())


def of_base64(text: str, media_type: str = "") -> ImagePart:
    """Return the image that is written in base64.

    Raises:
        ConfigurationError: it is not base64, or no image.
    """
    data, found = _decoded(text, media_type)
    return ImagePart(data, found)


def _decoded(text: str, media_type: str) -> tuple[bytes, str]:
    if len(text) > MOST_BYTES * 4 // 3 + 4:
        raise _too_big("the image")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"the data of an image must be base64: {error}") from None
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        raise _refused(f"the data of an image must be of a type like 'image/png', not {media_type[:80]!r}")
    return data, _checked(data, media_type, "the image")


def _png(image: Any) -> bytes:
    """Return an image of Pillow as a file: pixels may change later, and a message may not."""
    file = io.BytesIO()
    try:
        if image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16"}:
            image = image.convert("RGB")
        image.save(file, "PNG", compress_level=1)
    except (OSError, ValueError) as error:
        raise _refused(f"the image of Pillow cannot be kept as a PNG: {error}") from error
    if file.tell() > MOST_BYTES:
        raise _too_big("the image")
    return file.getvalue()


def media_type_of(data: bytes) -> str:
    """Return the media type that the first bytes of an image tell; empty where they do not."""
    return next((kind for pattern, kind in _MAGIC if pattern.match(data)), "")


def _checked(data: bytes, media_type: str, name: str) -> str:
    """Return the media type of the bytes of an image."""
    if not data:
        raise _refused(f"{name} must have at least one byte")
    if len(data) > MOST_BYTES:
        raise _too_big(name)
    found = media_type_of(data)
    if not found and not media_type:
        raise _refused(f"{name} must be {_KNOWN}, not what begins with {data[:8]!r}: or give media_type=")
    # What the bytes say is true: suffixes and declared types are wrong often, and a server believes the bytes.
    return found or media_type


def _too_big(name: str) -> ConfigurationError:
    return _refused(f"{name} must have at most {MOST_BYTES // 2**20} MiB, not more: make it smaller")


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="content")


publish(__name__)
