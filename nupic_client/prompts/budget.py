"""What a template may spend: one number of steps for everything it does, so that no template runs for ever.

Every loop turn, filter, test, call and operator costs a step, and more where it handles much: a sixteenth of
a step for a character, a quarter for an item of a list. What would grow is paid before it is done, so ``'a' *
10**10`` fails without allocating anything. A structure that refers to itself many times over (a list of a
list of a list …, each twice) is counted as often as printing or comparing it would visit it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any

from jinja2.utils import Namespace

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Budget", "BudgetError", "heft", "spend", "weigh"]

_STEPS = 1_000_000
_STEPS_PER_ITEM = 500
_STEPS_PER_CHARACTER = 8
_CONTAINERS = (list, tuple, set, frozenset)


class BudgetError(Exception):
    """The template asked for more than it may have. Not a ValueError: filters would swallow that."""


class Budget:
    """The steps that one rendering has left.

    Args:
        inputs: what the template is given; a longer conversation may cost more.
    """

    __slots__ = ("_token", "left", "limit")

    _token: Token[Budget | None]
    _current: ContextVar[Budget | None] = ContextVar("budget", default=None)

    def __init__(self, inputs: object) -> None:
        items, characters = _count(inputs)
        self.limit = self.left = _STEPS + _STEPS_PER_ITEM * items + _STEPS_PER_CHARACTER * characters

    def __enter__(self) -> Self:
        self._token = Budget._current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        Budget._current.reset(self._token)

    @classmethod
    def current(cls) -> Budget | None:
        """Return the budget of the rendering that goes on in this thread or task; None outside."""
        return cls._current.get()


def spend(steps: int) -> None:
    """Take steps from the current budget.

    Args:
        steps: how many.

    Raises:
        BudgetError: there are not so many left.
    """
    budget = Budget.current()
    if budget is None:
        return
    budget.left -= steps
    if budget.left < 0:
        raise BudgetError(f"it needs more than {budget.limit:,} steps, loops and texts are bounded")


def heft(value: Any) -> int:
    """Return the steps that going over a value once costs, without what is inside it."""
    if isinstance(value, (str, bytes)):
        return len(value) >> 4
    if isinstance(value, int):
        return value.bit_length() >> 4
    return len(value) >> 2 if isinstance(value, Sized) else 0


def weigh(value: Any) -> Any:
    """Pay for going over a value and everything in it, and return it.

    Args:
        value: anything a template can have.

    Raises:
        BudgetError: it is too big, perhaps because it contains the same things over and over.
    """
    kind = type(value)
    if kind is str:
        if len(value) > 15:
            spend(len(value) >> 4)
    elif kind is not bool and value is not None:
        stack = [value]
        while stack:
            stack += _pay(stack.pop())
    return value


def _pay(value: Any) -> Iterable[Any]:
    """Pay for one value and return what is inside it."""
    if isinstance(value, Namespace):
        value = object.__getattribute__(value, "_Namespace__attrs")
    if isinstance(value, Mapping):
        spend(1 + 2 * len(value))
        return [*value.keys(), *value.values()]
    if isinstance(value, _CONTAINERS):
        spend(1 + len(value))
        return value
    spend(1 + heft(value))
    return ()


def _count(value: object) -> tuple[int, int]:
    """Count the items and the characters of plain data. Data that contains itself counts once."""
    items = characters = 0
    stack, seen = [value], set[int]()
    while stack:
        value = stack.pop()
        items += 1
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, (Mapping, *_CONTAINERS)) and id(value) not in seen:
            seen.add(id(value))
            stack += [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
    return items, characters
