"""Choose the server of a run: the given url, the default url, or an embedded server."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, TypeVar

import nupic_client
from nupic_client import config
from nupic_client.cli.credentials import credentials
from nupic_client.cli.options import EMBEDDED_MODELS, MODEL_VARIABLE, call_options, generation_options
from nupic_client.cli.terminal import say
from nupic_client.errors import ConfigurationError
from nupic_client.local.progress import ProgressLine

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

__all__ = [
    "connect",
    "connect_inference",
    "embedded_server",
    "embedding_client",
    "formatter_is_known",
    "other_client",
    "require_formatter",
    "same_server",
    "server_client",
]

Client = TypeVar("Client", "nupic_client.StreamingClient", "nupic_client.InferenceClient")


@contextlib.contextmanager
def connect(arguments: argparse.Namespace, **more: Any) -> Iterator[nupic_client.StreamingClient]:
    """Yield a client of the given server, or of an embedded one: with ``--local``, or if nothing answers at the default url.

    Args:
        arguments: of the command.
        **more: options of the client besides those.

    Raises:
        ConfigurationError: an option is wrong.
        LocalModelError: the embedded server cannot run here.
    """

    def client(url: str | None, **options: Any) -> nupic_client.StreamingClient:
        given = generation_options(arguments)
        return nupic_client.StreamingClient(
            arguments.model,
            url,
            formatter=arguments.formatter,
            backend=arguments.backend,
            **options,
            **given,
            **more,
        )

    with contextlib.ExitStack() as stack:
        yield _connected(stack, arguments, client)


@contextlib.contextmanager
def connect_inference(arguments: argparse.Namespace, **more: Any) -> Iterator[nupic_client.InferenceClient]:
    """Yield a client for a model that does not stream; otherwise the same as `connect`.

    Args:
        arguments: of the command.
        **more: options of the client besides those.

    Raises:
        ConfigurationError: an option is wrong.
        LocalModelError: the embedded server cannot run here.
    """

    def client(url: str | None, **options: Any) -> nupic_client.InferenceClient:
        return nupic_client.InferenceClient(
            arguments.model, url, **options, **call_options(arguments), **more
        )

    with contextlib.ExitStack() as stack:
        yield _connected(stack, arguments, client)


def other_client(
    arguments: argparse.Namespace, client: nupic_client.StreamingClient, model: str
) -> nupic_client.StreamingClient:
    """Return a client for another model of the server of a client that `connect` has made.

    Raises:
        ConfigurationError: the name is none of a model.
    """
    url, options = _way_to(arguments, client)
    return nupic_client.StreamingClient(
        model,
        url,
        formatter=arguments.formatter,
        backend=arguments.backend,
        **generation_options(arguments),
        **options,
    )


def embedding_client(
    arguments: argparse.Namespace, client: nupic_client.StreamingClient, model: str
) -> nupic_client.InferenceClient:
    """Return a client for the vectors of a model of the server of a client that `connect` has made.

    Raises:
        ConfigurationError: the name is none of a model.
    """
    url, options = _way_to(arguments, client)
    return nupic_client.InferenceClient(model, url, **call_options(arguments), **options)


def _way_to(
    arguments: argparse.Namespace, client: nupic_client.StreamingClient
) -> tuple[str | None, dict[str, Any]]:
    """Return the url and the credentials for another client of the same server."""
    # The client's url does not tell whether it is encrypted.
    given = None if arguments.local else arguments.url or os.environ.get("NUPIC_URL")
    if given or client.url == config.DEFAULT_URL:
        return given, credentials(arguments)
    return client.url, {}  # the embedded server of this run


def same_server(
    stack: contextlib.ExitStack,
    arguments: argparse.Namespace,
    client: nupic_client.StreamingClient | nupic_client.InferenceClient,
    **more: Any,
) -> nupic_client.ServerClient:
    """Return a client for questions to the server of a client that `connect` has made.

    Args:
        stack: closes it.
        arguments: of the command.
        client: of the model.
        **more: options instead of those of the arguments.
    """
    # The client's url does not tell whether it is encrypted.
    given = None if arguments.local else arguments.url or os.environ.get("NUPIC_URL")
    own = not given and client.url != config.DEFAULT_URL  # the embedded server of this run takes no token
    options = {**({} if own else credentials(arguments)), **call_options(arguments), **more}
    return stack.enter_context(nupic_client.ServerClient(given or client.url, **options))


def server_client(stack: contextlib.ExitStack, arguments: argparse.Namespace) -> nupic_client.ServerClient:
    """Return a client for the given server, or with ``--local`` for an embedded one.

    Raises:
        ConfigurationError: an option is wrong.
        LocalModelError: the embedded server cannot run here.
    """
    options = {**credentials(arguments), **call_options(arguments)}
    url = stack.enter_context(embedded_server()).url if arguments.local else arguments.url
    return stack.enter_context(nupic_client.ServerClient(url, **options))


@contextlib.contextmanager
def embedded_server(
    host: str | None = None, port: int = 0, **options: Any
) -> Iterator[nupic_client.LocalServer]:
    """Yield a running embedded server; show the download of its model if there is one.

    Args:
        host: the address to listen on.
        port: the port; 0 picks a free one.
        **options: as for `LocalServer`.

    Raises:
        ConfigurationError: the address is not free, or an option is out of its range.
        LocalModelError: the model cannot be fetched or run here.
    """
    progress = ProgressLine()
    try:
        # The model is loaded on another thread: Ctrl-C inside the engine's loader would make it hang.
        with nupic_client.LocalServer(host, port, progress=progress, wait=False, **options) as server:
            server.wait_until_ready()
            progress.end()
            yield server
    finally:
        progress.end()  # after the server's own end, so that nothing is drawn any more


def formatter_is_known(arguments: argparse.Namespace, client: nupic_client.StreamingClient) -> bool:
    """Return whether the prompt format of the model is known."""
    return arguments.formatter is not None or client.model.formatter is not None


def require_formatter(arguments: argparse.Namespace, client: nupic_client.StreamingClient) -> None:
    """Check that the prompt format of the model is known.

    Raises:
        ConfigurationError: it is not.
    """
    if not formatter_is_known(arguments, client):
        raise ConfigurationError(
            f"the prompt format of model {client.model.name!r} is not known: {client.model.suggestion}give --formatter"
            " and a family, such as chatml or zephyr"
        )


def _connected(
    stack: contextlib.ExitStack, arguments: argparse.Namespace, make: Callable[..., Client]
) -> Client:
    client = stack.enter_context(
        make(arguments.url, **credentials(arguments))
    )  # first: it checks every option
    if _wants_embedded(arguments, client.model):
        server = stack.enter_context(embedded_server())
        client = stack.enter_context(make(server.url))
    return client


def _wants_embedded(arguments: argparse.Namespace, model: nupic_client.ModelSpec) -> bool:
    has_it = model.name in EMBEDDED_MODELS
    if arguments.local:
        if not has_it:
            raise ConfigurationError(
                f"the embedded server has no model {model.name!r}, only "
                f"{' and '.join(map(repr, EMBEDDED_MODELS))}{_from_environment(model.name)}"
            )
        return True
    url_was_given = arguments.url is not None or os.environ.get("NUPIC_URL")
    if url_was_given or not has_it or _something_listens(config.DEFAULT_URL):
        return False
    say(f"nothing answers at {config.DEFAULT_URL}: starting the embedded server for this run")
    return True


def _from_environment(model: str) -> str:
    """Return where a model's name may be from, if the user did not write it now."""
    return f" (${MODEL_VARIABLE} is set)" if os.environ.get(MODEL_VARIABLE) == model else ""


def _something_listens(url: str) -> bool:
    host, _, port = url.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True
