"""Many small cases in one test: pytest takes longer to set up a case than such a case takes to run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def each(name: str, cases: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test once for each case of an argument, as ``parametrize`` would; the failure says which case it was."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def all_cases(**arguments: Any) -> None:
            for case, value in cases.items():
                try:
                    test(**arguments, **{name: value})
                except BaseException as error:
                    error.add_note(f"{name}: {case}") if hasattr(error, "add_note") else None
                    raise

        signature = inspect.signature(test)
        kept = [each for each in signature.parameters.values() if each.name != name]
        all_cases.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
        return all_cases

    return decorate
