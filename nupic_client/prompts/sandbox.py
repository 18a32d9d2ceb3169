"""Jinja2's immutable sandbox as Hugging Face sets it up, with a bound on everything.

The sandbox keeps a template away from Python's internals and from changing what it is given. It does not keep
it from running for ever, or from asking for all the memory there is. So everything a template does is paid
from a `Budget`:

* loops: every turn, also the turns an ``if`` in the loop's head passes over, and recursive loops;
* ``range``: at most 100,000 numbers (the sandbox's own bound), and every one of them counts;
* operators: ``*``, ``**``, ``%`` and ``+`` look at their operands first; numbers have at most 8,192 bits;
* filters, tests and calls, including those inside ``map`` and ``select``: a step, the size of what they are
  given and of what they return; padding, replacing, joining and formatting are checked before they are done;
* macros, ``caller`` and blocks: a step for a call and the size of the result; recursion ends at Python's own
  limit;
* output, concatenation, comparison and slicing: by the size of the operands.

No thread or signal is involved: the templates' syntax trees are changed to do the counting before they are
compiled. The budget grows with the conversation; an endless template fails within about a second. ``lipsum``,
which makes random text, does not exist.
"""

from __future__ import annotations

import datetime as dt
import functools
import json
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context
from jinja2.visitor import NodeTransformer

from nupic_client.prompts.budget import heft, spend, weigh
from nupic_client.prompts.guards import FILTER_GUARDS, METHOD_GUARDS, guard_format, guard_operator

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.parser import Parser
    from jinja2.runtime import Context

__all__ = ["BoundedEnvironment", "strftime_now"]

# Filters that do not look inside their value: paying for everything in it would make loops over messages
# quadratic.
_SHALLOW = frozenset(
    (
        *(
            "attr",
            "batch",
            "count",
            "d",
            "default",
            "first",
            "items",
            "last",
            "length",
            "list",
            "map",
            "random",
        ),
        *("reject", "rejectattr", "reverse", "safe", "select", "selectattr", "slice"),
    )
)
_CALL = 4  # a call takes that much longer than a turn of a loop
_WEIGH = "(weigh)"
_SIZED = "(sized)"
_TICK = "(tick)"


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment for chat templates. Compiled templates can be used from several threads at a time."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation], finalize=weigh
        )
        self.filters["tojson"] = _tojson
        self.filters.update(_paid_for(self.filters))
        self.tests.update(_paid_for(self.tests))
        self.filters[_WEIGH] = weigh
        self.filters[_SIZED] = _sized
        self.filters[_TICK] = _tick
        self.globals["raise_exception"] = _raise_exception
        self.globals.pop("lipsum")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Meter().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator to operands it has a guard for."""
        spend(1)
        guard_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Subscribe an object. Hashing a tuple looks at everything in it."""
        return super().getitem(obj, weigh(argument) if isinstance(argument, tuple) else argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063  # as in the base
        """Call something, after its guard if it is a method of a value."""
        spend(_CALL)
        _guard_call(__obj, args, kwargs)
        result = super().call(__context, __obj, *args, **kwargs)
        spend(heft(result))
        return result


def _guard_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    method = getattr(function, "__wrapped__", function)
    owner = getattr(method, "__self__", None)
    name = getattr(method, "__name__", "")
    if isinstance(owner, str) and name in {"format", "format_map"}:
        guard_format(owner, args if name == "format_map" else (*args, *kwargs.values()))
    if isinstance(owner, (str, bytes, int)):
        weigh(args)
        spend(heft(owner))
        if name in METHOD_GUARDS:
            METHOD_GUARDS[name](owner, *args, **kwargs)
    elif isinstance(owner, (list, tuple)):
        weigh(owner)
        weigh(args)
    elif isinstance(owner, dict) or function is dict:
        weigh(args)


def _paid_for(table: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    return {name: _paid(name, function) for name, function in table.items()}


def _paid(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter or a test so that it pays."""
    guard = FILTER_GUARDS.get(name)
    # Functions that take the context (or the like) get it as their first argument.
    position = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def paid(*args: Any, **kwargs: Any) -> Any:
        spend(1)
        value, rest = args[position], args[position + 1 :]
        if name in _SHALLOW:
            spend(heft(value))
        else:
            weigh(value)
            weigh(rest)
            weigh(tuple(kwargs.values()))
        if guard is not None:
            value = guard(value, *rest, **kwargs)
        result = function(*args[:position], value, *rest, **kwargs)
        spend(heft(result))
        return result

    return paid


@pass_context
def _tick(context: Context, steps: int) -> bool:  # noqa: ARG001  # taking it keeps the compiler from folding the call
    spend(steps)
    return True


def _sized(value: Any) -> Any:
    spend(heft(value))
    return value


class _Meter(NodeTransformer):
    """Put the counting into a template's syntax tree."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  # the visitor's protocol
        # The text that a turn prints is part of its price: it never passes a filter or an operator.
        text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_counter(1 + (text >> 4), node.lineno), lineno=node.lineno))
        if node.test is not None:
            node.test = nodes.And(_counter(1, node.lineno), node.test, lineno=node.lineno)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802  # the visitor's protocol
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat:  # noqa: N802  # the visitor's protocol
        self.generic_visit(node)
        node.nodes = [_weighed(part) for part in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:  # noqa: N802  # the visitor's protocol
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            # A slice goes past `getitem`.
            node.node = nodes.Filter(node.node, _SIZED, [], [], None, None, lineno=node.lineno)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:  # noqa: N802  # the visitor's protocol
        self.generic_visit(node)
        node.key = _weighed(node.key)
        return node


def _counter(steps: int, lineno: int) -> nodes.Filter:
    return nodes.Filter(nodes.Const(steps, lineno=lineno), _TICK, [], [], None, None, lineno=lineno)


def _weighed(node: nodes.Expr) -> nodes.Expr:
    if isinstance(node, nodes.Const):
        return node
    return nodes.Filter(node, _WEIGH, [], [], None, None, lineno=node.lineno)


class _Generation(Extension):
    """``{% generation %}``: it marks answers for training, and changes nothing in the text."""

    tags = {"generation"}  # noqa: RUF012  # the protocol of extensions

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the tag: its body, in a scope of its own."""
        lineno = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=lineno)


def _raise_exception(message: Any) -> None:
    raise TemplateError(str(message))


def _tojson(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  # the signature that templates call
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_now(day: dt.date | None) -> Callable[[str], str]:
    """Return the template function that prints the given day, or the present one, at the present time."""

    def print_now(style: str) -> str:
        if any(character.isdigit() for character in style):
            raise TemplateError("strftime_now takes no widths")
        now = dt.datetime.now()  # noqa: DTZ005  # the local time, as the templates' authors expect it
        return (now if day is None else dt.datetime.combine(day, now.time())).strftime(style)

    return print_now
