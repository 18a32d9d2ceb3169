"""Model names: every form that is public, and odd ones."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import ModelName, ModelSpec, parse_model_name
from nupic_client.naming import STREAMING_SUFFIX, streaming_name, unary_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("nupic-sbert.base-v3", ("nupic", "sbert", "base", 3, "")),
        ("nupic-sbert-1-v3", ("nupic", "sbert", "1", 3, "")),
        ("numenta-sbert-2-v2-wtokenizer", ("numenta", "sbert", "2", 2, "wtokenizer")),
        ("nupic-bert.large-v12", ("nupic", "bert", "large", 12, "")),
        ("NuPIC-SBERT.Base-V3", ("nupic", "sbert", "base", 3, "")),
    ],
)
def test_the_public_forms(name, parts):
    assert parse_model_name(name) == ModelName(
        full=name,
        vendor=parts[0],
        family=parts[1],
        size=parts[2],
        version=parts[3],
        variant=parts[4],
        streaming=False,
    )


@pytest.mark.parametrize("name", ["nupic-gpt.7b-v1", "numenta-gpt-1-v2-wtokenizer", "smollm2", "a.b"])
def test_the_suffix_of_versions_that_stream(name):
    unary, streaming = parse_model_name(name), parse_model_name(f"{name}.streaming")
    assert streaming == dataclasses.replace(unary, full=f"{name}.streaming", streaming=True)
    assert not unary.streaming


@pytest.mark.parametrize(
    "name",
    [
        "smollm2",
        "zephyr-7b-beta",
        "nupic",
        "nupic-",
        "nupic-sbert",
        "nupic-sbert.base",
        "nupic-sbert.base-v",
        "nupic-sbert.base-vX",
        "nupic-sbert.base-v3-",
        "nupic-sbert.base-v3-a-b",
        "nupic-sbert.base-v3 ",
        "my-nupic-sbert.base-v3",
        "acme-sbert.base-v3",
        "nupic_sbert.base-v3",
        "",
        "日本語",
        "a\nb",
    ],
)
def test_any_other_name_is_a_family(name):
    assert parse_model_name(name) == ModelName(full=name, family=name)


def test_the_suffix_alone():
    assert parse_model_name(".streaming") == ModelName(full=".streaming", streaming=True)
    assert parse_model_name("Gpt.STREAMING").streaming is False


def test_only_one_suffix_is_taken_away():
    assert unary_name("gpt.streaming.streaming") == "gpt.streaming"


def test_names_of_both_versions():
    assert streaming_name("gpt") == streaming_name("gpt.streaming") == "gpt.streaming"
    assert unary_name("gpt") == unary_name("gpt.streaming") == "gpt"


@given(st.text(max_size=40))
def test_reading_a_name_never_fails_and_loses_nothing(name):
    parts = parse_model_name(name)
    assert parts.full == name
    assert parts.streaming == name.endswith(STREAMING_SUFFIX)
    assert unary_name(streaming_name(name)) == unary_name(name)
    if not parts.vendor:
        assert parts.family == unary_name(name)
        assert (parts.size, parts.version, parts.variant) == ("", None, "")


@given(
    st.sampled_from(["nupic", "numenta"]),
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    st.sampled_from([".", "-"]),
    st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True),
    st.integers(0, 999),
    st.from_regex(r"([a-z0-9]{1,8})?", fullmatch=True),
)
def test_what_is_put_together_is_taken_apart(vendor, family, separator, size, version, variant):
    name = f"{vendor}-{family}{separator}{size}-v{version}" + (f"-{variant}" if variant else "")
    parts = parse_model_name(name)
    assert (parts.vendor, parts.family, parts.size) == (vendor, family, size)
    assert (parts.version, parts.variant) == (version, variant)


def test_a_spec_reads_the_name_of_the_server():
    spec = ModelSpec(name="sbert", server_name="nupic-sbert.base-v3")
    assert spec.parts == parse_model_name("nupic-sbert.base-v3")


def test_a_version_that_is_no_version_is_part_of_the_name():
    name = "nupic-gpt.large-v" + "1" * 5_000
    assert parse_model_name(name).version is None
    assert parse_model_name(name).family == name
