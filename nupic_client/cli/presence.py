"""Whether a server has a model, and what it has instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nupic_client._suggest import did_you_mean, listed
from nupic_client.errors import ModelUnavailableError, NupicError
from nupic_client.naming import unary_name

if TYPE_CHECKING:
    import nupic_client

__all__ = ["check_model", "streaming_models", "why_not_ready"]


def check_model(server: nupic_client.ServerClient, client: nupic_client.StreamingClient) -> None:
    """Check that the server is there and has the client's model, before anything is said of them.

    Raises:
        NupicError: it is not, or it has not.
    """
    name = client.model.server_name
    try:
        server.signature(name)
    except ModelUnavailableError as error:
        models = streaming_models(server)
        if not models or name in models:
            raise
        near = _nearest(name, models)
        raise error.with_facts(
            message=f"the server has no model {name!r} that answers: {near}the models that stream there are {listed(models)}"
        ) from error.__cause__


def _nearest(name: str, models: list[str]) -> str:
    """Return the near ones of the models, whose names are compared without their usual end."""
    by_base = {unary_name(model): model for model in models}
    near = did_you_mean(unary_name(name), by_base)
    for base, model in by_base.items():
        near = near.replace(f"{base!r}", f"{model!r}")
    return near


def streaming_models(server: nupic_client.ServerClient) -> list[str]:
    """Return the names of the models that a server can stream from; empty if it does not tell."""
    try:
        return [model.name for model in server.models() if model.streams]
    except NupicError:
        return []


def why_not_ready(server: nupic_client.ServerClient, model: str) -> str:
    """Return why a model is not ready; empty if nothing is known."""
    try:
        server.signature(model)
    except ModelUnavailableError as error:
        try:
            known = [info.name for info in server.models(details=False)]
        except NupicError:
            known = []
        near = "" if model in known else _nearest(model, known)
        return f"{error.message}; {near}".rstrip("; ")
    except NupicError:
        return ""
    return ""
