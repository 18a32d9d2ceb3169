"""Prompt formatters and model names under the name that NuPIC scripts import them by.

``nupic`` is a namespace package, see `nupic.client.inference_client`.
"""  # noqa: INP001 - NuPIC's own distribution may own the package

from __future__ import annotations

from nupic_client.registry import get_prompt_formatter, model_naming_mapping

__all__ = ["get_prompt_formatter", "model_naming_mapping"]
