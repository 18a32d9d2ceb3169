"""Loading of a model, with a configuration and files of the caller's, and what can be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nupic_client._core.calls.flows import Flow, Invoke, Metadata
from nupic_client._core.kserve import wire
from nupic_client._core.kserve.server_words import core_of
from nupic_client._text import check_text
from nupic_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InferenceError,
    ModelUnavailableError,
    RequestError,
    RequestRejectedError,
)

__all__ = ["check_file_name", "load_model"]

_PREFIX = "file:"
"""Triton's mark of a parameter that is a file."""
_LONGEST_PART = 255
"""Bytes that a name may have in a file system. Triton 2.51 ends when it is given a longer one."""
_MOST = 2**31 - 1
"""Bytes of the largest message of the protocol."""


def load_model(
    model: str,
    config: str | Mapping[str, Any] | None,
    files: Mapping[str, bytes] | None = None,
    *,
    timeout: float | None,
    metadata: Metadata,
) -> Flow[None]:
    """Ask the server to load a model.

    Args:
        model: the server's name of the model.
        config: a configuration, as JSON or as a mapping; None for the one in the repository.
        files: contents by the names of `check_file_name`, in place of the folder in the repository.
        timeout: seconds, or None for no limit.
        metadata: sent with the call.

    Raises:
        ConfigurationError: the configuration is none, or the files cannot be sent or miss one; nothing was sent.
        RequestError: the model was not loaded.
    """
    check_text("model", model, parameter="model")
    request = wire.pb.RepositoryModelLoadRequest(model_name=model)
    if config is not None:
        request.parameters["config"].string_param = _config_json(config)
    if files:
        _check_files(files, configured=config is not None)
        for name, content in files.items():
            request.parameters[_PREFIX + name].bytes_param = content
    try:
        yield Invoke("RepositoryModelLoad", request, timeout, metadata)
    except RequestError as error:
        failure = _not_loaded(error, model, timeout=timeout, configured=config is not None)
        raise failure from error.__cause__


def check_file_name(name: object) -> str:
    """Return the name of a file of a model: its path inside the model's folder, such as ``1/model.onnx``.

    Triton's own spelling of it, ``file:1/model.onnx``, is taken too.

    Raises:
        ConfigurationError: it is no such path.
    """
    check_text("files", name, parameter="files")  # type: ignore[arg-type]  # it refuses what is no text
    path = str(name).removeprefix(_PREFIX)
    parts = path.split("/")
    if "\\" in path or "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ConfigurationError(
            f"files must have paths inside the model's folder as their names, such as '1/model.onnx', not {name!r}",
            parameter="files",
        )
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        raise ConfigurationError(
            f"files must have names of at most {_LONGEST_PART} bytes, not {name!r}", parameter="files"
        )
    return path


def _check_files(files: Mapping[str, bytes], *, configured: bool) -> None:
    if not configured:
        raise ConfigurationError(
            "config must be given with files: the server does not look into its repository for a model that comes with"
            " its files",
            parameter="config",
        )
    if not any(name.partition("/")[0].isdecimal() and "/" in name for name in files):
        raise ConfigurationError(
            "files must have one in the folder of a version, such as '1/model.onnx', not only"
            f" {', '.join(map(repr, files))}",
            parameter="files",
        )
    size = sum(map(len, files.values()))
    if size > _MOST:
        raise ConfigurationError(
            f"files must have at most {_MOST} bytes together, the largest message of gRPC, not {size}: put them into the"
            " server's repository",
            parameter="files",
        )


def _not_loaded(error: RequestError, model: str, *, timeout: float | None, configured: bool) -> RequestError:
    """Return the error of a request to load a model, which is about the model and not about inputs."""
    if isinstance(error, DeadlineExceededError):
        within = "in time" if timeout is None else f"within the timeout of {timeout:g} s"
        message = (
            f"model {model!r} was not loaded {within}: the server goes on loading it. Wait for it with"
            " wait_until_ready, or give load a longer timeout"
        )
        return error.with_facts(message=message, limit=timeout, model=model)
    named = error.completed(model=model)
    said = core_of(error.server_message)
    if isinstance(error, ModelUnavailableError):
        # Triton answers a configuration that it cannot read as if the model were not in its repository.
        hint = ": check that it is in the repository" if said.endswith("model repository") else ""
        hint += " and that the configuration is right" if hint and configured else ""
    elif isinstance(error, InferenceError) or error.status == "INVALID_ARGUMENT":
        hint = ": check its configuration" if configured else ""
    else:
        return named  # who asks, capacity or the connection; or the server does not load models at all
    message = f"the server could not load model {model!r}{hint}" + (f": {said}" if said else "")
    kind = (
        RequestRejectedError
        if isinstance(error, RequestRejectedError) and configured
        else ModelUnavailableError
    )
    return kind(
        message,
        model=model,
        target=error.target,
        status=error.status,
        server_message=error.server_message,
        retryable=error.retryable,
    )


def _config_json(config: object) -> str:
    if isinstance(config, Mapping):
        try:
            return json.dumps(config)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"config cannot be sent as JSON: {error}", parameter="config") from None
    if not isinstance(config, str):
        raise ConfigurationError(
            f"config must be JSON text or a mapping, not {type(config).__name__}", parameter="config"
        )
    check_text("config", config, parameter="config")
    return config
