"""Every family renders the reference prompts byte for byte."""

import datetime as dt
import json
from pathlib import Path

import pytest

from nupic_client.errors import PromptError
from nupic_client.prompts import FAMILIES, formatter_for

RECORDS = json.loads(Path(__file__).with_name("golden.json").read_text("utf-8"))
GOLDEN_FAMILIES = list(dict.fromkeys(record["family"] for record in RECORDS))


def options(record):
    result = {"add_generation_prompt": record["add_generation_prompt"]}
    if "date" in record:
        result["date"] = dt.date.fromisoformat(record["date"])
    return result


def name(index):
    return f"{RECORDS[index]['family']}-{index}"


@pytest.mark.parametrize("index", range(len(RECORDS)), ids=name)
def test_record(index):
    record = RECORDS[index]
    formatter = formatter_for(record["family"])
    if "error" in record:
        with pytest.raises(PromptError, match="allows"):
            formatter(record["messages"], **options(record))
    else:
        assert formatter(record["messages"], **options(record)) == record["prompt"]


def test_every_golden_family_has_a_formatter_in_the_same_order():
    assert list(FAMILIES) == [*GOLDEN_FAMILIES, "plain"]


@pytest.mark.parametrize("family", GOLDEN_FAMILIES)
def test_facts_of_a_family(family):
    record = next(record for record in RECORDS if record["family"] == family)
    formatter = FAMILIES[family]
    assert formatter.bos_token == (record["bos_token"] or "")
    assert formatter.eos_token == (record["eos_token"] or "")
    assert formatter.reference_model == record["reference_model"]
    assert formatter.source
    assert formatter.description
    assert formatter.stop
    assert set(formatter.stop) <= set(formatter.control_tokens)
    assert {formatter.bos_token, formatter.eos_token} - {""} <= set(formatter.control_tokens)


@pytest.mark.parametrize("family", GOLDEN_FAMILIES)
def test_prints_bos_says_what_the_prompts_show(family):
    prompts = [record["prompt"] for record in RECORDS if record["family"] == family and "prompt" in record]
    formatter = FAMILIES[family]
    starts = bool(formatter.bos_token) and all(prompt.startswith(formatter.bos_token) for prompt in prompts)
    # SmolLM2's BOS is the token that opens every turn: it may not be taken away.
    assert formatter.prints_bos == (starts and family != "smollm2")
