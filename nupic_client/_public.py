"""Public classes and functions say where users import them from, in tracebacks, reprs, ``help()`` and pickles."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["HOMES", "PACKAGES", "publish"]

PACKAGES = (
    "nupic_client",
    "nupic_client.backends",
    "nupic_client.local",
    "nupic_client.prompts",
    "nupic_client.testing",
)
"""The packages with public names."""
HOMES: dict[Any, str] = {}
"""The modules of what was published, for tools that read sources."""


def publish(module: str) -> None:
    """Set the ``__module__`` of what a module declares public to the package that exports it.

    The last line of a module calls it, so that the name does not depend on the way the module was imported.

    Args:
        module: the name of a module with an ``__all__``; what no package exports stays as it is.
    """
    namespace = vars(sys.modules[module])
    packages = [name for name in PACKAGES if name in ("nupic_client", ".".join(module.split(".")[:2]))]
    for name in namespace["__all__"]:
        value = namespace[name]
        home = getattr(value, "__module__", "")
        package = next((it for it in packages if name in sys.modules[it].__dict__["__all__"]), None)
        named = getattr(value, "__name__", "") == name and home not in PACKAGES
        if package is not None and named and home.startswith("nupic_client."):
            if isinstance(value, type):
                _keep_annotations(value, home)
            HOMES[value] = home
            value.__module__ = package


def _keep_annotations(kind: Any, home: str) -> None:
    """Let those who read a class's annotations look their names up in the module that has them.

    `typing.get_type_hints` reads the class, pydantic the fields of a dataclass.
    """
    if any(isinstance(annotation, str) for annotation in kind.__annotations__.values()):
        from typing import ForwardRef  # noqa: PLC0415 - not before a class needs it

        kind.__annotations__ = {
            name: ForwardRef(annotation, module=home, is_class=True)
            if isinstance(annotation, str)
            else annotation
            for name, annotation in kind.__annotations__.items()
        }
        for name, field in getattr(kind, "__dataclass_fields__", {}).items():
            field.type = kind.__annotations__.get(name, field.type)
