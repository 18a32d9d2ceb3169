"""`ClientFactory`: make a client by model, address and protocol, in the way of NuPIC scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from nupic_client._public import publish
from nupic_client.errors import ConfigurationError

if TYPE_CHECKING:
    from nupic_client.http_inference import HttpInferenceClient
    from nupic_client.inference import InferenceClient

__all__ = ["ClientFactory"]


class ClientFactory:
    """Make clients for models that do not stream."""

    def __repr__(self) -> str:
        return "ClientFactory(get_client(model, url, protocol) makes a client)"

    @overload
    @staticmethod
    def get_client(
        model: str, url: str | None = ..., protocol: Literal["grpc"] = ..., **options: Any
    ) -> InferenceClient: ...
    @overload
    @staticmethod
    def get_client(
        model: str, url: str | None, protocol: Literal["http"], **options: Any
    ) -> HttpInferenceClient: ...
    @overload
    @staticmethod
    def get_client(
        model: str, url: str | None, protocol: str, **options: Any
    ) -> InferenceClient | HttpInferenceClient: ...
    @staticmethod
    def get_client(model: str, url: str | None = None, protocol: str = "grpc", **options: Any) -> Any:
        """Return a client for a model.

        Args:
            model: a friendly name of the registry or the server's own name of a model.
            url: the server; by default port 8001 of this machine for gRPC and port 8000 for HTTP.
            protocol: ``"grpc"`` or ``"http"``. gRPC has async methods too, and is faster with many requests at the same
                time.
            **options: as for `InferenceClient`, or over HTTP for `HttpInferenceClient`.

        Returns:
            A client with ``infer``, ``embed``, ``map`` and ``generate``.

        Raises:
            ConfigurationError: an argument is wrong.

        Example:
            .. code-block:: python

                from nupic.client.inference_client import ClientFactory

                client = ClientFactory.get_client("sbert", "localhost:8001", "grpc")
                vectors = client.embed(["a sentence"])
        """
        # Imported when asked for: arrays need numpy, which takes time.
        if protocol == "grpc":
            from nupic_client.inference import InferenceClient  # noqa: PLC0415

            return InferenceClient(model, url, **options)
        if protocol == "http":
            from nupic_client.http_inference import HttpInferenceClient  # noqa: PLC0415

            return HttpInferenceClient(model, url, **options)
        raise ConfigurationError(f"protocol must be 'grpc' or 'http', not {protocol!r}", parameter="protocol")


publish(__name__)
