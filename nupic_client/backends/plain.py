"""A model with ``text_input`` and ``text_output``: hand-written Python models, pytriton functions.

Options are mapped by input name: an option is sent when the model declares an input of that name, as the data
type it declares. ``finish_reason`` and token counts are asked for where the model offers them by the names
that the vLLM and TensorRT-LLM backends use.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from nupic_client.backends.tensors import OPTIONAL_OUTPUTS, TensorBackend
from nupic_client.sampling import OPTION_NAMES
from nupic_client.signature import ModelSignature

__all__ = ["PlainBackend"]


class PlainBackend(TensorBackend):
    """Map options to inputs by their names; see the module's text.

    Args:
        prompt: the input for the prompt.
        text: the output with the text.
        echo: whether the text begins with the prompt, which is then removed. None: remove it from an answer
            that comes as a whole, if it is there; leave the chunks of a stream alone, because a text may
            begin like its prompt.
    """

    name = "plain"
    options: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {option: (option,) for option in OPTION_NAMES}
    )
    stream_input = "stream"
    exclude_prompt_input = "exclude_input_in_output"
    optional_outputs = OPTIONAL_OUTPUTS
    streaming_hint = "choose a model whose name ends in '.streaming'"

    def __init__(
        self, *, prompt: str = "text_input", text: str = "text_output", echo: bool | None = None
    ) -> None:
        self.prompt = prompt
        self.text = text
        self._echo = echo

    def may_echo(self, signature: ModelSignature, *, stream: bool) -> bool:
        """Return ``echo`` where the caller gave it."""
        return super().may_echo(signature, stream=stream) if self._echo is None else self._echo
