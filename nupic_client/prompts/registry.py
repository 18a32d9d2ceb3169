"""All families by name and alias, and a table of rules that finds the family of a model's name."""

from __future__ import annotations

import re
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.prompts.families import (
    chatml,
    cohere,
    deepseek,
    falcon,
    gemma,
    granite,
    llama,
    mistral,
    openchat,
    phi,
    plain,
    qwen3,
    solar,
    vicuna,
    vision,
    zephyr,
)
from nupic_client.prompts.formatter import PromptFormatter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALIASES", "FAMILIES", "NAME_RULES", "formatter_for", "guess_family"]

_ALL = (
    chatml.CHATML,
    chatml.SMOLLM2,
    chatml.QWEN_1_5,
    chatml.QWEN_2,
    chatml.QWEN_2_5,
    *qwen3.FAMILIES,
    chatml.YI,
    chatml.INTERNLM2,
    *llama.FAMILIES,
    *mistral.FAMILIES,
    zephyr.ZEPHYR,
    zephyr.TINYLLAMA,
    zephyr.STABLELM,
    *gemma.FAMILIES,
    *phi.FAMILIES,
    *falcon.FAMILIES,
    zephyr.FALCON_3,
    *deepseek.FAMILIES,
    *cohere.FAMILIES,
    *granite.FAMILIES,
    *openchat.FAMILIES,
    *solar.FAMILIES,
    zephyr.OLMO,
    *vicuna.FAMILIES,
    *vision.FAMILIES,
    *plain.FAMILIES,
)

FAMILIES: Mapping[str, PromptFormatter] = MappingProxyType(
    {family.name: PromptFormatter(family) for family in _ALL}
)
"""Every family by its name. Read-only."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {alias: family.name for family in _ALL for alias in family.aliases}
)
"""Short names that people use, each with its family. Read-only."""


def formatter_for(family: str) -> PromptFormatter:
    """Return the formatter of a family.

    Args:
        family: its name or one of `ALIASES`; upper and lower case are the same.

    Returns:
        The formatter; the same object every time.

    Raises:
        ConfigurationError: there is no such family; the message names similar ones.

    Example:
        >>> formatter_for("llama3").family
        'llama-3-instruct'
    """
    if not isinstance(family, str):
        raise ConfigurationError(
            f"a prompt family must be a string, not {type(family).__name__}", parameter="family"
        )
    name = family.strip().lower()
    formatter = FAMILIES.get(ALIASES.get(name, name))
    if formatter is not None:
        return formatter
    raise ConfigurationError(
        f"there is no prompt family {family!r}: {did_you_mean(name, [*FAMILIES, *ALIASES], most=3)}the families are"
        f" {listed(FAMILIES, most=3)} in nupic_client.prompts.FAMILIES",
        parameter="family",
    )


NAME_RULES: tuple[tuple[str, str], ...] = (
    # DeepSeek's distillates carry the names of the models they are made of: first of all. Their template is
    # R1's.
    (r"deepseek-r1", "deepseek-r1"),
    (r"deepseek-v3(?!\.)", "deepseek-v3"),
    (r"deepseek-v2(?!\.).*chat|deepseek-coder-v2.*instruct", "deepseek-v2-chat"),
    (r"deepseek-llm.*chat", "deepseek-llm-chat"),
    (r"smollm2.*instruct", "smollm2"),
    (r"tinyllama.*chat", "tinyllama-chat"),
    (r"openhermes|nous-hermes-2|hermes-2-pro", "chatml"),
    (r"stablelm-zephyr", "stablelm-zephyr"),
    (r"zephyr-7b-(?:alpha|beta)", "zephyr"),
    (r"vicuna-\d+b-v1\.[15]|vicuna-\d+b$", "vicuna-1.1"),
    (r"alpaca-\d+b", "alpaca"),
    (r"openchat[-_]?3\.5", "openchat-3.5"),
    (r"openchat[-_]?3\.6", "openchat-3.6"),
    (r"solar-10\.7b-instruct", "solar-instruct"),
    (r"exaone-3\.5.*instruct", "exaone-3.5"),
    (r"olmo-\d+b.*instruct", "olmo-instruct"),
    (r"c4ai-command-r-v01|command-r-v01", "command-r"),
    (r"granite-3\.0.*instruct", "granite-3.0"),
    (r"granite-3\.1.*instruct", "granite-3.1"),
    (r"granite-3\.3.*instruct", "granite-3.3"),
    (r"falcon-?3-.*instruct", "falcon3"),
    (r"falcon-\d+b-instruct", "falcon-instruct"),
    (r"phi-?4-mini-instruct", "phi-4-mini"),
    (r"phi-?4$", "phi-4"),
    (r"phi-?3\.5-mini-instruct", "phi-3.5"),
    (r"phi-?3-mini.*instruct", "phi-3"),
    (r"gemma-?3-.*-it\b", "gemma-3"),
    (r"gemma-?2-\d+b-it\b", "gemma-2"),
    (r"gemma-(?:1\.1-)?\d+b-it\b", "gemma"),
    (r"qwen-?3-\d+(?:\.\d+)?b(?!-base|-(?:instruct|thinking))", "qwen3"),
    (r"qwen-?2(?:\.5)?-?vl.*instruct", "qwen2-vl"),
    (r"qwen-?2\.5(?!-(?:coder|math|vl|omni)).*instruct", "qwen2.5"),
    (r"qwen-?2-\d+(?:\.\d+)?b-instruct", "qwen2"),
    (r"qwen-?1\.5.*chat", "qwen1.5"),
    (r"yi-1\.5.*chat", "yi-1.5-chat"),
    (r"internlm2-chat", "internlm2-chat"),
    (r"llama-?3\.1.*instruct", "llama-3.1-instruct"),
    (r"llama-?3\.2-[13]b.*instruct", "llama-3.2-instruct"),
    (r"llama-?3\.3.*instruct", "llama-3.3-instruct"),
    (r"llama-?3-.*instruct", "llama-3-instruct"),
    (r"llama-?2.*chat", "llama-2-chat"),
    (r"mixtral-8x7b-instruct", "mixtral-instruct"),
    (r"mistral-nemo.*instruct", "mistral-v3-tekken"),
    (r"mistral-small-3\.1.*instruct|mistral-small.*2503", "mistral-v7-tekken"),
    (r"mistral-large.*2411", "mistral-v7"),
    (r"mistral-7b-instruct-v0\.[12]", "mistral-v1"),
    (r"mistral-7b-instruct-v0\.3", "mistral-v3"),
)
"""A pattern of a model's name, and its family. The first that matches, at the start of a word, is taken.

Names are compared in lower case, without the organisation in front, and with hyphens for underscores, blanks
and slashes. A base model matches nothing: the patterns ask for the words that mark a chat model. Where newer
revisions of a model have another template than the family (Qwen2.5-Coder, DeepSeek-V3.1, Qwen3-…-2507) the
pattern leaves them out.
"""


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(rf"(?<![a-z0-9]){pattern}"), family) for pattern, family in NAME_RULES)


def guess_family(model_name: str) -> str | None:
    """Guess the family from a free model name.

    Args:
        model_name: any name, such as ``"Meta-Llama-3.1-8B-Instruct"`` or ``"TheBloke/zephyr-7B-beta-GGUF"``.

    Returns:
        The family by `NAME_RULES`; None where it is not certain, base models included.

    Example:
        >>> guess_family("zephyr-7b-beta")
        'zephyr'
    """
    name = re.sub(r"[\s_/]+", "-", model_name.strip().lower().rsplit("/", 1)[-1])
    if name in FAMILIES:
        return name
    return next((family for pattern, family in _rules() if pattern.search(name)), None)
