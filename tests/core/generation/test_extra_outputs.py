"""The outputs besides the text: which are kept, for how long, and as what."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from core.replies import raw_bytes, reply_message

from nupic_client._core.generation.extra_outputs import ExtraOutputs
from nupic_client.errors import ProtocolError

TEXT = ("text_output", "BYTES", (1,), raw_bytes(b"Hi"))


def floats(name, *values):
    return (name, "FP32", (1, len(values)), struct.pack(f"<{len(values)}f", *values))


def answer(*outputs):
    return reply_message(*outputs).infer_response


def as_lists(outputs):
    return {name: array.tolist() for name, array in outputs.items()}


def test_those_that_are_asked_for_are_arrays_of_their_response():
    extra = ExtraOutputs(["logits", "ids"])
    extra.take(answer(TEXT, floats("logits", 0.5, 1.5), floats("other", 1.0)))
    assert as_lists(extra.fresh) == {"logits": [[0.5, 1.5]]}
    assert extra.fresh["logits"].dtype == np.float32
    extra.take(answer(TEXT))
    assert extra.fresh == {}


def test_each_is_kept_as_the_last_response_had_it():
    extra = ExtraOutputs(["a", "b"])
    assert extra.latest == {}
    extra.take(answer(floats("a", 1.0), floats("b", 2.0)))
    extra.take(answer(TEXT, floats("b", 3.0)))
    extra.take(answer(TEXT))
    assert as_lists(extra.latest) == {"a": [[1.0]], "b": [[3.0]]}


def test_texts_are_str_and_lose_no_byte():
    extra = ExtraOutputs(["note"])
    extra.take(answer(("note", "BYTES", (2,), raw_bytes("ä".encode(), b"\xff\x00"))))
    first, second = extra.fresh["note"]
    assert (first, second.encode(errors="surrogateescape")) == ("ä", b"\xff\x00")


def test_elements_in_the_output_itself_are_read():
    made = answer()
    made.outputs.add(name="n", datatype="INT32", shape=[2]).contents.int_contents.extend([1, 2])
    extra = ExtraOutputs(["n"])
    extra.take(made)
    assert as_lists(extra.fresh) == {"n": [1, 2]}


def test_contents_that_do_not_fit_are_an_error_that_names_the_output():
    with pytest.raises(ProtocolError, match="'logits' cannot be decoded"):
        ExtraOutputs(["logits"]).take(answer(("logits", "FP32", (2,), b"\0\0\0\0")))
