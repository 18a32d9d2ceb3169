"""No template at all: for base models and for prompts that are already complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client.prompts.family import Family, Job, Turn

if TYPE_CHECKING:
    from nupic_client.prompts.builder import PromptBuilder

__all__ = ["FAMILIES"]

_BARE = Turn("", "")


def _join(family: Family, job: Job, builder: PromptBuilder) -> None:  # noqa: ARG001  # every script has this signature
    for index, message in enumerate(job.messages):
        if index:
            builder.literal("\n\n")
        builder.content(message.text, index)


PLAIN = Family(
    name="plain",
    description="no template: the texts as they are, a blank line between two messages, no roles",
    system=_BARE,
    user=_BARE,
    assistant=_BARE,
    aliases=("none", "raw", "base"),
    script=_join,
)

FAMILIES = (PLAIN,)
