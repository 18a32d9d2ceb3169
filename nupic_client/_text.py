"""Text that can be sent: everything but lone surrogates, which UTF-8 cannot encode."""

from __future__ import annotations

from nupic_client.errors import ConfigurationError

__all__ = ["check_text"]


def check_text(name: str, text: str, *, parameter: str = "") -> None:
    """Refuse a lone surrogate: half of a character, as cut JSON or bytes that are not UTF-8 leave them.

    Args:
        name: the subject of the error.
        text: the text.
        parameter: see `ConfigurationError`.

    Raises:
        ConfigurationError: with the surrogate and its position; also for what is no text.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"{name} must be a string, not {text!r}", parameter=parameter)
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{name} must be text that UTF-8 can encode, not one with the lone surrogate {text[error.start]!a} at"
            f" position {error.start}: look for text that was cut, or read with another encoding",
            parameter=parameter,
        ) from None
