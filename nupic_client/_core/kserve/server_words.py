"""The core of a server's message: what happened, without what was put around it on the way.

An error passes through many hands. Triton puts the request id before it, and an ensemble its name; a model that calls
another one (BLS) puts Python's words before and the places in its code behind; TensorRT-LLM sends whole tracebacks. What
happened is in the middle.
"""

from __future__ import annotations

import re

__all__ = ["core_of", "shorten", "without_exception"]

_LONGEST = 4_000
_END = 2_000


def shorten(words: str) -> str:
    """Return a server's message, shortened to its beginning and end where it is too long for a log.

    The rules match the shortened message too: a hostile one could keep regular expressions busy for very long.
    """
    if len(words) <= _LONGEST:
        return words
    return f"{words[: _LONGEST - _END]} … {words[-_END:]}"


_WRAPPER = re.compile(
    r"in ensemble '[^']*',\s"
    r"|\[request id: .*?\]\s"
    # A Python model that raised; the server's words for it, and those of a BLS call for the answer it got.
    r"|Failed to process the request\(s\)[^\n]{0,300}?, message:\s"
    r"|Model \S+ - Error when running inference:\s"
    r"|Model execute error:\s"
    r"|(?:[A-Za-z_][\w.]*\.)?(?:TritonModelException|InferenceServerException):\s"
    # A model that is a client of another server, and servers that are Python programs of gRPC.
    r"|\[StatusCode\.[A-Z_]+\]\s|\[[45]\d\d\]\s"
    r"|Exception calling application:\s"
    r"|Unexpected <class '(?![^']*ModelNotFound')[^']*'>:\s"
)
"""What stands before the core. The name of a class that says what happened is no wrapper."""
_PLACES = re.compile(r"\n+At:\n[ \t]+\S.*", re.DOTALL)
"""Where pybind11 says that an exception was raised; behind its words."""
_TRACEBACK = "Traceback (most recent call last)"
_FRAME = re.compile(r'\s+File "')
_MOST_WRAPPERS = 50


def core_of(message: str) -> str:
    """Return the core of a server's message; "" where it says nothing.

    Args:
        message: the text as it came.
    """
    text = shorten(message).strip()
    for _ in range(_MOST_WRAPPERS):
        inner = _raised(_PLACES.sub("", text)).strip()
        wrapper = _WRAPPER.match(f"{inner} ")
        if wrapper is not None:
            inner = inner[wrapper.end() :].strip()
        if inner == text:
            break
        text = inner
    return text


def _raised(text: str) -> str:
    """Return the line of a traceback that says what was raised; other texts as they are."""
    if _TRACEBACK not in text:
        return text
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    if frames:
        for line in lines[frames[-1] + 1 :]:
            if not line[0].isspace():
                return line
    return lines[-1]


_EXCEPTION = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning):\s")


def without_exception(core: str) -> str:
    """Return a core without the name of the Python exception that brought it."""
    name = _EXCEPTION.match(f"{core} ")
    return core if name is None else core[name.end() :].strip()
