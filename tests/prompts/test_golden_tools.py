"""Every family that has tools renders the reference prompts with tools byte for byte."""

import datetime as dt
import json
from pathlib import Path

import pytest

from nupic_client.errors import PromptError
from nupic_client.prompts import FAMILIES, formatter_for

GOLDEN = json.loads(Path(__file__).with_name("golden_tools.json").read_text("utf-8"))
RECORDS = GOLDEN["records"]
# SmolLM2's template has no tools, so that there is nothing to compare with.
WITH_TOOLS = {*GOLDEN["families"], "smollm2"}


def render(record):
    conversation = GOLDEN["conversations"][record["conversation"]]
    date = GOLDEN["families"][record["family"]].get("date")
    return formatter_for(record["family"])(
        conversation["messages"],
        tools=conversation.get("tools"),
        add_generation_prompt=conversation.get("add_generation_prompt", True),
        date=None if date is None else dt.date.fromisoformat(date),
        **conversation.get("template_variables", {}),
    )


def name(record):
    return f"{record['family']}: {record['conversation']}"


@pytest.mark.parametrize("record", RECORDS, ids=name)
def test_record(record):
    if "error" in record:
        with pytest.raises(PromptError, match="allows"):
            render(record)
    else:
        assert render(record) == record["prompt"]


@pytest.mark.parametrize("family", GOLDEN["families"])
def test_facts_of_a_family(family):
    facts, formatter = GOLDEN["families"][family], FAMILIES[family]
    assert facts["source"]
    # Hermes is not the model whose template without tools is `chatml`.
    assert facts["model"] == formatter.reference_model or family == "chatml"


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in WITH_TOOLS])
def test_a_family_without_tools_says_so(family):
    tool = {
        "name": "now",
        "description": "Tell the time.",
        "parameters": {"type": "object", "properties": {}},
    }
    with pytest.raises(PromptError, match="has no tools"):
        FAMILIES[family]("The time?", tools=[tool])
