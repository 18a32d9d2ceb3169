"""Images of a request, as backends send them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

from nupic_client.errors import ConfigurationError
from nupic_client.parts import ImagePart, media_type_of
from nupic_client.signature import ModelSignature

__all__ = ["ImageForm", "as_base64", "as_url", "check_images"]

MOST_BYTES = 512 * 2**20
"""The most that the images of one request may have together: servers refuse messages of 2 GiB, and copy them."""
_TYPES = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})


def check_images(images: Sequence[ImagePart], signature: ModelSignature) -> None:
    """Check types and sizes of the images of a request.

    Raises:
        ConfigurationError: a type is not what models read, or the images are too big together.
    """
    for number, image in enumerate(images):
        data = image.source if isinstance(image.source, bytes) else None
        found = image.media_type if data is None else media_type_of(data)
        # The type of an image on the web may not be known.
        if found not in _TYPES and (found or data is not None):
            what = found or f"what begins with {(data or b'')[:8]!r}"
            raise _refused(
                f"image {number} must be PNG, JPEG, WebP or GIF for model {signature.name!r}, not {what}: convert it"
            )
    size = sum(len(image.source) for image in images if isinstance(image.source, bytes))
    if size > MOST_BYTES:
        raise _refused(
            f"the images of a request must have at most {MOST_BYTES // 2**20} MiB together, not {size // 2**20}: make them"
            " smaller"
        )


def as_base64(image: ImagePart) -> str:
    """Return an image in base64.

    Raises:
        ConfigurationError: there is a url only.
    """
    return base64.b64encode(image.data()).decode()


def as_url(image: ImagePart) -> str:
    """Return the url of an image, or a data URI."""
    return image.url or image.data_uri()


ImageForm = Callable[[ImagePart], str]
"""How a backend writes an image into its input."""


def _refused(message: str) -> ConfigurationError:
    return ConfigurationError(message, parameter="content")
