"""The outputs of one request."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from nupic_client._arrays import Array
from nupic_client._public import publish
from nupic_client._suggest import listed
from nupic_client.errors import ConfigurationError

__all__ = ["InferenceResult"]


class InferenceResult(Mapping[str, "Array"]):
    """The outputs of a model as numpy arrays, by name. Immutable.

    Numeric arrays are read-only views of the server's response; ``array.copy()`` can be changed. BF16 comes
    as float32. Where the model has one output only, the result can be used as that array:
    ``numpy.asarray(result)``.

    Example:
        .. code-block:: python

            result = client.infer({"x": array})
            result["y"].shape
    """

    __slots__ = ("_arrays", "_call", "model", "parameters", "request_id", "version")

    def __init__(
        self,
        arrays: Mapping[str, Array],
        *,
        model: str,
        version: str = "",
        request_id: str = "",
        parameters: Mapping[str, bool | int | float | str] = {},
        call: Any = None,
    ) -> None:
        self._arrays = dict(arrays)
        self._call = call
        self.model: str = model
        """The server's name of the model."""
        self.version: str = version
        """The version that answered."""
        self.request_id: str = request_id
        """The id the request was sent with."""
        self.parameters: Mapping[str, bool | int | float | str] = parameters
        """The response parameters."""

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
        """The gRPC metadata (HTTP/2 trailers) that the server sent behind its answer; empty over HTTP."""
        return metadata_of(self._call)

    def like(self, arrays: dict[str, Array], request_id: str, call: Any) -> InferenceResult:
        """Return the result of another request whose answer differs in these facts only."""
        other = object.__new__(InferenceResult)
        other._arrays = arrays
        other._call = call
        other.model = self.model
        other.version = self.version
        other.request_id = request_id
        other.parameters = self.parameters
        return other

    def rows(self, start: int, stop: int) -> InferenceResult:
        """Return a part of a batch: views of these rows of every output."""
        arrays = {name: array[start:stop] for name, array in self._arrays.items()}
        return self.like(arrays, self.request_id, self._call)

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:  # noqa: FBT001 - numpy's
        array = self.only
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name}: {array.dtype} {array.shape}" for name, array in self._arrays.items())
        return f"InferenceResult(model={self.model!r}, {outputs})"


def metadata_of(call: Any) -> tuple[tuple[str, str | bytes], ...]:
    """Return the trailing metadata of a call of gRPC that has ended; nothing where there is no call."""
    if call is None:
        return ()
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


publish(__name__)
