"""Answers of a given form, as LangChain's ``with_structured_output`` wants them."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

__all__ = ["Method", "structured_model"]

Method: TypeAlias = Literal["json_schema", "json_mode", "function_calling"]
"""How a form is asked for."""


def structured_model(
    model: BaseChatModel,
    schema: Mapping[str, Any] | type,
    *,
    method: Method,
    include_raw: bool,
    strict: bool | None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Return the chain of a model and what reads its answers. The arguments are those of ``with_structured_output``."""
    if method not in ("json_schema", "json_mode"):
        raise ValueError(f"method must be 'json_schema', 'json_mode' or 'function_calling', not {method!r}")
    written = convert_to_json_schema(schema, strict=strict)
    form: dict[str, Any] = {"type": "json_object"}
    if method == "json_schema":
        name = written.get("title") or "answer"
        form = {"type": "json_schema", "json_schema": {"name": name, "schema": written}}
    bound = model.bind(
        response_format=form,
        ls_structured_output_format={"kwargs": {"method": method, "strict": strict}, "schema": schema},
        **kwargs,
    )
    parser = _parser(schema)
    if not include_raw:
        return bound | parser
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=bound) | parsed.with_fallbacks([failed], exception_key="parsing_error")


def _parser(schema: Mapping[str, Any] | type) -> Runnable[AIMessage, Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()
