"""The outputs of one request."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nupic_client._arrays import Array
from nupic_client._parameters import NO_PARAMETERS, Parameters
from nupic_client._public import publish
from nupic_client._repr import counted, html_table
from nupic_client._suggest import did_you_mean, listed
from nupic_client.display import printable
from nupic_client.errors import ConfigurationError
from nupic_client.shared_memory_places import SharedMemoryTensor

__all__ = ["Classification", "InferenceResult"]


@dataclass(frozen=True, slots=True)
class Classification:
    """A class of an output that was asked for as classes. Immutable.

    Args:
        value: the model's number for it, as the server rounds it.
        index: its place in the output.
        label: its name; None where the model has no file with labels.
    """

    value: float
    index: int
    label: str | None = None


class InferenceResult(Mapping[str, "Array"]):
    """The outputs of a model as numpy arrays, by name. Immutable.

    Numeric arrays are read-only views of the server's response, or of the shared memory that the server has written to;
    ``array.copy()`` can be changed, and stays as it is when the server writes there again. BF16 comes as float32. Where the
    model has one output only, the result can be used as that array: ``numpy.asarray(result)``.

    Example:
        .. code-block:: python

            result = client.infer({"x": array})
            result["y"].shape
    """

    __slots__ = (
        "_arrays",
        "_call",
        "_output_parameters",
        "endpoint",
        "model",
        "parameters",
        "places",
        "request_id",
        "version",
    )

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        model: str,
        version: str = "",
        request_id: str = "",
        parameters: Parameters = NO_PARAMETERS,
        output_parameters: Mapping[str, Parameters] = {},
        places: Mapping[str, SharedMemoryTensor] = {},
        call: Any = None,
        endpoint: str = "",
    ) -> None:
        self._arrays = dict(arrays)
        self._call = call
        self.model: str = model
        """The server's name of the model."""
        self.version: str = version
        """The version that answered."""
        self.request_id: str = request_id
        """The id the request was sent with."""
        self.endpoint: str = endpoint
        """The address of the server that answered."""
        self.parameters: Mapping[str, bool | int | float | str] = parameters
        """The response parameters."""
        self._output_parameters = output_parameters
        self.places: Mapping[str, SharedMemoryTensor] = places
        """The outputs that were written to shared memory, each as an input for the next request.

        Those in memory that this process does not have, such as a GPU's, are only here."""

    @property
    def output_parameters(self) -> Mapping[str, Mapping[str, bool | int | float | str]]:
        """The parameters of each output; an empty mapping for one that has none."""
        return {**{name: {} for name in self._arrays}, **self._output_parameters}

    def classes(self, name: str) -> list[Any]:
        """Return the classes of an output that was asked for with a number of them, the likeliest first.

        Args:
            name: of the output, as in ``infer(inputs, outputs={name: 3})``.

        Returns:
            A list of `Classification`; for a model with a batch dimension a list of such lists, one for each row.

        Raises:
            ConfigurationError: the result has no such output, or it holds no classes.
        """
        if name not in self._arrays:
            raise ConfigurationError(
                f"the result of model {self.model!r} has no output {name!r}: {did_you_mean(name, self._arrays)}the outputs"
                f" are {listed(self._arrays)}"
            )
        try:
            return _classes(self._arrays[name].tolist())
        except (AttributeError, ValueError, TypeError):
            raise ConfigurationError(
                f"output {name!r} of model {self.model!r} must hold classes, not {self._arrays[name].dtype} of the model's"
                f" own: ask for them with outputs={{{name!r}: 3}}"
            ) from None

    @property
    def only(self) -> Array:
        """The array of the only output.

        Raises:
            ConfigurationError: there is more than one, or none.
        """
        if len(self._arrays) != 1:
            raise ConfigurationError(
                f"the result of model {self.model!r} must have one output for this, not"
                f" {listed(self._arrays) or 'none'}: name the one you want, as in result[name]"
            )
        return next(iter(self._arrays.values()))

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The gRPC metadata (HTTP/2 trailers) that the server sent behind its answer; its headers over HTTP.

        Empty for a result of a stream, whose metadata come after the last one.
        """
        return metadata_of(self._call)

    def like(self, arrays: dict[str, Array], request_id: str, call: Any) -> InferenceResult:
        """Return the result of another request whose answer differs in these facts only."""
        other = object.__new__(InferenceResult)
        other._arrays = arrays
        other._call = call
        other.model = self.model
        other.version = self.version
        other.request_id = request_id
        other.endpoint = self.endpoint
        other.parameters = self.parameters
        other._output_parameters = self._output_parameters
        other.places = self.places
        return other

    def rows(self, start: int, stop: int) -> InferenceResult:
        """Return a part of a batch: views of these rows of every output."""
        arrays = {name: array[start:stop] for name, array in self._arrays.items()}
        return self.like(arrays, self.request_id, self._call)

    def __getitem__(self, name: str) -> Array:
        try:
            return self._arrays[name]
        except KeyError:
            if name not in self.places:
                raise
            raise KeyError(
                f"output {name!r} is in memory that this process does not have: see places"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __eq__(self, other: object) -> bool:
        """Return whether the outputs are the same, as arrays: names, data types, shapes and values."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self is other or (
            self.keys() == other.keys() and all(_same(self[name], other[name]) for name in self)
        )

    __hash__ = None  # type: ignore[assignment]  # as of all mappings

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process can have: the call stays here, with gRPC's connection, and its metadata goes."""
        state = {name: getattr(self, name) for name in self.__slots__}
        return {**state, "_call": self.trailing_metadata}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001 - numpy's
        array = self.only
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        arrays = getattr(self, "_arrays", {})
        outputs = [f"{name}: {array.dtype} {array.shape}" for name, array in arrays.items()]
        model = getattr(self, "model", "")
        return f"InferenceResult({', '.join([f'model={model!r}', *outputs])})"

    def _repr_html_(self) -> str:
        import numpy as np  # noqa: PLC0415 - it is loaded already, where there are arrays

        rows = []
        for name, array in self._arrays.items():
            values = printable(np.array2string(array, threshold=6, edgeitems=2, separator=", "))
            shown = values if len(values) <= _MOST_SHOWN else f"{values[:_MOST_SHOWN]}…"
            rows.append((name, str(array.dtype), str(array.shape), shown))
        return html_table(f"{self.model}: {counted(len(rows), 'output')}", rows)


_MOST_SHOWN = 200
"""Characters of an array that a notebook shows."""


def metadata_of(call: Any) -> tuple[tuple[str, str | bytes], ...]:
    """Return the trailing metadata of a call of gRPC that has ended; nothing where there is no call."""
    if call is None:
        return ()
    if isinstance(call, tuple):  # of a copy, which has no call
        return call
    found = call.trailing_metadata()
    if inspect.iscoroutine(found):  # of a call of grpc.aio: it does not wait, because the call has ended
        try:
            found.send(None)
        except StopIteration as stop:
            found = stop.value
        else:
            found.close()
            return ()
    return tuple((name, value) for name, value in found or ())


def _same(array: Array, other: Any) -> bool:
    import numpy as np  # noqa: PLC0415 - it is loaded already, where there are arrays

    return array is other or (array.dtype == getattr(other, "dtype", None) and np.array_equal(array, other))


def _classes(values: list[Any]) -> list[Any]:
    """Read texts ``value:index[:label]``, row by row.

    Raises:
        ValueError: one is not of this form, which also raises AttributeError and TypeError.
    """
    return [_classes(value) if isinstance(value, list) else _class(value) for value in values]


def _class(text: str | bytes) -> Classification:
    if isinstance(text, bytes):
        text = text.decode()
    value, index, *label = text.split(":", 2)  # a label may have colons
    return Classification(float(value), int(index), label[0] if label else None)


publish(__name__)
