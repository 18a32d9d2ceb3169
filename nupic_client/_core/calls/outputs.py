"""The outputs that a caller asks for, by name, with what is asked of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from nupic_client._core.kserve.wire import RequestedOutput
from nupic_client._numbers import check_integer
from nupic_client._parameters import check_parameters
from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ConfigurationError
from nupic_client.shared_memory_places import SharedMemoryOutput

if TYPE_CHECKING:
    from nupic_client.signature import ModelSignature

__all__ = ["CLASSIFICATION", "check_output", "check_requested", "output_names", "requested_outputs"]

CLASSIFICATION = "classification"
"""Parameter of a requested output: the number of classes to return in place of the numbers."""


def requested_outputs(value: object) -> tuple[RequestedOutput, ...]:
    """Return the outputs of a list of names, or of a mapping of names to what is asked of each.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(value, Mapping):
        return tuple(_requested(name, asked) for name, asked in value.items())
    return tuple(map(RequestedOutput, output_names(value)))


def output_names(value: object) -> tuple[str, ...]:
    """Return the names of a list of outputs; none for None.

    Raises:
        ConfigurationError: it is no such list.
    """
    if value is None:
        return ()
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise _no_list(value, ": put it into a list" if isinstance(value, str) else "")
    names = tuple(value)
    for name in names:
        _check_name(name)
    return names


def _requested(name: object, asked: object) -> RequestedOutput:
    """Return an output with what is asked of it: nothing special, classes, parameters, or a place in shared memory."""
    checked = _check_name(name)
    if asked is None:
        return RequestedOutput(checked)
    if isinstance(asked, SharedMemoryOutput):
        return RequestedOutput(checked, asked.parameters, asked)
    if isinstance(asked, Mapping):
        subject = f"the parameters of output {name!r}"
        return RequestedOutput(checked, check_parameters(asked, subject=subject, parameter="outputs"))
    allowed = "a number of classes, a mapping of parameters, a place in shared memory or None"
    classes = check_integer(f"outputs[{name!r}]", asked, allowed, low=1, high=2**63 - 1)
    return RequestedOutput(checked, {CLASSIFICATION: classes})


def _check_name(name: object) -> str:
    if not isinstance(name, str):
        raise _no_list(name)
    return name


def _no_list(value: object, advice: str = "") -> ConfigurationError:
    return ConfigurationError(
        f"outputs must be a list of names, not the {type(value).__name__} {value!r}{advice}",
        parameter="outputs",
    )


def check_requested(signature: ModelSignature, output: RequestedOutput) -> None:
    """Check that a model has an output, and can have classes of it where they are asked for.

    Texts have none, and Triton 2.51 dies of the question, as would each server that the request is sent to again.

    Raises:
        ConfigurationError: it does not, or cannot.
    """
    check_output(signature, output.name)
    if CLASSIFICATION in output.parameters and signature.outputs[output.name].datatype == "BYTES":
        raise ConfigurationError(
            f"output {output.name!r} of model {signature.name!r} must be of numbers to be asked for classes, not BYTES: ask"
            " for it by its name alone",
            parameter="outputs",
        )


def check_output(signature: ModelSignature, name: str) -> None:
    """Check that a model has an output.

    Raises:
        ConfigurationError: it does not.
    """
    if name not in signature.outputs:
        raise ConfigurationError(
            f"model {signature.name!r} has no output {name!r}: {did_you_mean(name, signature.outputs)}the outputs"
            f" are {listed(signature.outputs)}"
        )
