"""The core of a message, without what was put around it."""

from __future__ import annotations

import pytest

from nupic_client._core.kserve.server_words import core_of, shorten, without_exception

AT = "\n\nAt:\n  /m/1/model.py(11): one\n  /m/1/model.py(16): <listcomp>\n"
FRAME = '  File "/m/model.py", line 3, in execute\n    run()\n    ^^^^^\n'
TRACEBACK = f"Traceback (most recent call last):\n{FRAME}"

CORES = {
    "bad thing": "bad thing",
    "  bad thing \n": "bad thing",
    "": "",
    "in ensemble 'x', ": "",
    # The texts of real Triton 2.51 for a Python model that raises (I-F11)
    f"Failed to process the request(s) for model 'm_0_0', message: ValueError: bad thing{AT}": "ValueError: bad thing",
    f"Failed to process the request(s) for model 'b_1', message: TritonModelException: Failed to process the request(s)"
    f" for model 'm_0_0', message: ValueError: bad thing{AT}\n{AT}": "ValueError: bad thing",
    f"ValueError: bad thing{AT}": "ValueError: bad thing",
    # pytriton sends the whole traceback of what it called
    "Failed to process the request(s) for model 'm_0', message: TritonModelException: Model execute error: "
    f"{TRACEBACK}pytriton.exceptions.PyTritonRuntimeError: {TRACEBACK}ValueError: bad\n{AT}": "ValueError: bad",
    f"{TRACEBACK}RuntimeError: CUDA error: out of memory\nFor debugging pass CUDA_LAUNCH_BLOCKING=1\n": (
        "RuntimeError: CUDA error: out of memory"
    ),
    f"{TRACEBACK}KeyError: 1\n\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}"
    "OSError: 2\n": "OSError: 2",
    "Traceback (most recent call last):": "Traceback (most recent call last):",
    "two lines\nof a model": "two lines\nof a model",
    "look At:\nthe place": "look At:\nthe place",
}


@pytest.mark.parametrize(("text", "core"), CORES.items(), ids=range(len(CORES)))
def test_the_core_is_what_happened(text, core):
    """P-F6, I-F2, I-F11: whatever was put around it on the way."""
    assert core_of(text) == core


def test_wrappings_in_any_depth_are_taken_off_and_many_do_not_go_on_for_ever():
    assert core_of("in ensemble 'a', [request id: 1] " * 20 + "full") == "full"
    assert core_of("in ensemble 'a', " * 200 + "full").endswith("full")


@pytest.mark.parametrize(
    ("core", "bare"),
    [
        ("ValueError: bad", "bad"),
        ("a.b.MyException: bad", "bad"),
        ("bad: ValueError: x", "bad: ValueError: x"),
        ("KeyError: ", ""),
        ("note: this", "note: this"),
    ],
)
def test_the_name_of_an_exception_is_taken_off(core, bare):
    assert without_exception(core) == bare


def test_beginning_and_end_of_a_long_text_stay():
    assert shorten("short") == "short"
    assert shorten("a" * 5_000 + "b" * 5_000) == "a" * 2_000 + " … " + "b" * 2_000
