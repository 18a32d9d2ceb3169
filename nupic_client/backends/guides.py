"""Guided decoding as TensorRT-LLM has it, whose inputs other models have too."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nupic_client.signature import ModelSignature

__all__ = ["as_pattern", "trtllm_guide"]

_GUIDE_TYPE, _GUIDE = "guided_decoding_guide_type", "guided_decoding_guide"
_SPECIAL = re.compile(r"[\\.^$|?*+()\[\]{}]")


def trtllm_guide(kind: str, value: Any, signature: ModelSignature) -> Mapping[str, Any] | None:
    """Return the inputs that constrain the text; None for a model that does not have them.

    Args:
        kind: ``json_schema``, ``json`` (an object of any kind), ``regex``, ``choice`` or ``grammar``.
        value: the schema (also for ``json``), the pattern, the texts to choose from, or the grammar.
        signature: of the model.
    """
    if not all(_takes_text(name, signature) for name in (_GUIDE_TYPE, _GUIDE)):
        return None
    if kind in {"json_schema", "json"}:
        return {_GUIDE_TYPE: "json_schema", _GUIDE: json.dumps(value)}
    if kind == "choice":
        return {_GUIDE_TYPE: "regex", _GUIDE: "|".join(map(as_pattern, value))}
    return {_GUIDE_TYPE: "ebnf_grammar" if kind == "grammar" else kind, _GUIDE: value}


def as_pattern(text: str) -> str:
    """Return the regular expression of a text, with no more escapes than every dialect knows."""
    escaped = _SPECIAL.sub(r"\\\g<0>", text)
    return escaped.replace("\n", r"\n").replace("\r", r"\r").replace("\t", r"\t")


def _takes_text(name: str, signature: ModelSignature) -> bool:
    return name in signature.inputs and signature.inputs[name].datatype == "BYTES"
