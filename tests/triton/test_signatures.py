"""What each model of the test repository declares, recorded: for tests that need signatures but no server.

``NUPIC_RECORD_SIGNATURES=1 pytest tests/triton/test_signatures.py`` writes the files anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.json_format import MessageToDict

from triton.server import REPOSITORY

if TYPE_CHECKING:
    from triton.raw import Raw

FOLDER = Path(__file__).with_name("signatures")
MODELS = sorted(folder.name for folder in REPOSITORY.iterdir())


def declared(raw: Raw, model: str) -> dict[str, Any]:
    """Return both answers of the server: ``json_format.ParseDict`` reads them again."""
    answers = {
        "ModelConfig": raw.call("ModelConfig", name=model),
        "ModelMetadata": raw.call("ModelMetadata", name=model),
    }
    return {
        method: MessageToDict(answer.messages[0], preserving_proto_field_name=True)
        for method, answer in answers.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_recorded_signature_is_what_the_server_declares(raw, model):
    path = FOLDER / f"{model}.json"
    found = declared(raw, model)
    if os.environ.get("NUPIC_RECORD_SIGNATURES"):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == found


def test_there_is_a_record_of_each_model_and_no_other():
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == MODELS
