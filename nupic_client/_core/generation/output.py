"""The value of a generation's text, where ``response_format=`` asks for a form."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nupic_client._partial_json import PartialJson
from nupic_client.errors import ConfigurationError, OutputError
from nupic_client.results import FinishReason

if TYPE_CHECKING:
    from nupic_client._core.calls.options import CallOptions
    from nupic_client._output_format import OutputFormat, Reading
    from nupic_client.results import Generation

__all__ = ["CUT", "growing_value", "read_output", "with_output"]

_END_OF_THOUGHTS = "</think>"
CUT = "the text was cut at max_tokens, or at the end of the model's context"


def growing_value(form: OutputFormat | None) -> PartialJson:
    """Return what reads an answer as JSON while it comes.

    Raises:
        ConfigurationError: it is asked to be something else.
    """
    if form is not None and not form.is_json:
        raise ConfigurationError(
            f"response_format must be a type, a JSON Schema or 'json' for partial(), not"
            f" {type(form.source).__name__}: iterate over the stream for its text",
            parameter="response_format",
        )
    return PartialJson()


def read_output(form: OutputFormat, generation: Generation, options: CallOptions) -> Reading:
    """Read the text of a generation. Nothing in it raises."""
    lenient = options.enforce == "validate"
    text = generation.text
    reading = form.read(text, lenient=lenient)
    if reading.violations and _END_OF_THOUGHTS in text:  # some servers enforce the form only behind them
        text = text.rpartition(_END_OF_THOUGHTS)[2].strip()
        reading = form.read(text, lenient=lenient)
    cut = generation.finish_reason == FinishReason.LENGTH
    if not cut or (not reading.violations and form.is_whole(text)):
        return reading
    # Of JSON that was cut the rest of what is wrong follows from that.
    others = () if form.is_json else reading.violations
    value = reading.value if reading.violations else form.plain(text)
    return replace(reading, value=value, violations=(CUT, *others))


def with_output(generation: Generation, reading: Reading) -> Generation:
    """Return a generation with the value of its text.

    Raises:
        OutputError: the text does not have the form that was asked for.
    """
    if not reading.violations:
        return replace(generation, parsed=reading.value)
    first, more = reading.violations[0], len(reading.violations) - 1
    others = f" (and {more} more in violations)" if more else ""
    advice = ": give a larger max_tokens" if first is CUT else ""
    raise OutputError(
        f"the answer of model {generation.model!r} does not have the form of response_format: {first}{advice}{others}",
        text=generation.text,
        violations=reading.violations,
        partial=reading.value,
        generation=generation,
    )
