from __future__ import annotations

import pickle
from pathlib import PurePosixPath

import numpy as np
import pytest

from nupic_client import ConfigurationError, Lora


def test_an_adapter_by_name_by_number_and_as_a_value():
    assert Lora.of("sql") == Lora(name="sql")
    assert Lora.of(3) == Lora.of(np.uint8(3)) == Lora(id=3)
    assert Lora.of(0).id == 0
    own = Lora("sql", id=2**64 - 1, path=PurePosixPath("/adapters/sql"), source="nemo")
    assert Lora.of(own) is own
    assert own.path == "/adapters/sql"


def test_it_is_a_value():
    own = Lora("sql", id=3)
    assert pickle.loads(pickle.dumps(own)) == own
    assert len({own, Lora("sql", id=3)}) == 1
    with pytest.raises(AttributeError):
        own.name = "other"


@pytest.mark.parametrize("wrong", [True, 1.5, b"sql", ["sql"], object(), np.float32(1)])
def test_anything_else_is_no_adapter(wrong):
    with pytest.raises(
        ConfigurationError, match="lora must be the name of an adapter, its number or a Lora, not"
    ):
        Lora.of(wrong)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "must have a name or an id"),
        ({"path": "/x"}, "must have a name or an id"),
        ({"name": ""}, "name of a Lora must be a non-empty string, not ''"),
        ({"name": b"x"}, "name of a Lora must be a non-empty string"),
        ({"name": "a\ud800"}, "lone surrogate"),
        ({"id": -1}, "id of a Lora must be an integer from 0"),
        ({"id": 2**64}, "id of a Lora must be an integer from 0"),
        ({"id": True}, "id of a Lora must be an integer from 0"),
        ({"id": "3"}, "id of a Lora must be an integer from 0"),
        ({"name": "x", "path": ""}, "path of a Lora must be a non-empty string"),
        ({"name": "x", "path": 5}, "path of a Lora must be a non-empty string"),
        ({"name": "x", "path": b"/x"}, "path of a Lora must be a non-empty string"),
        ({"name": "x", "source": "peft"}, "source of a Lora must be 'hf' or 'nemo', not 'peft'"),
    ],
)
def test_a_wrong_value_is_refused(facts, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        Lora(**facts)
    assert caught.value.parameter
