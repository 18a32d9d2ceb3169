"""An agent with two tools: the model decides which to call, this program runs them, and the model answers.

python agent.py "What is 17 * 23?"
python agent.py "How is the weather in Paris?" --model qwen3 --formatter qwen3
"""

from __future__ import annotations

import argparse
import ast
import operator
from collections.abc import Callable
from dataclasses import dataclass

from nupic_client import Conversation, NupicError, StreamingClient

OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
}


@dataclass
class Weather:
    """What the tool of this name returns; the model gets it as JSON."""

    city: str
    degrees: float
    sky: str


def weather(city: str) -> Weather:
    """Tell how the weather in a city is.

    Args:
        city: the name of the city, such as "Paris"
    """
    print(f"[weather of {city}]")
    return Weather(city, 21.5, "sunny")


def calculate(expression: str) -> float:
    """Calculate an arithmetic expression of numbers, +, -, *, / and parentheses.

    Args:
        expression: such as "17 * (2 + 3)"
    """
    print(f"[calculate {expression}]")
    if (
        len(expression) > 200
    ):  # the model decides what comes here, so it is checked and never evaluated as Python
        raise ValueError("the expression must have at most 200 characters")
    return value_of(ast.parse(expression, mode="eval").body)


def value_of(node: ast.expr) -> float:
    """Return the value of a part of an expression; an exception is told to the model, which may try again."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value_of(left), value_of(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return OPERATORS[type(op)](value_of(operand))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--formatter", help="the family of the model, if its name does not tell")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with StreamingClient(arguments.model, url=arguments.url, formatter=arguments.formatter) as client:
        conversation = Conversation(client, system="You are a helpful assistant.")
        try:
            answer = conversation.generate(
                arguments.question,
                tools=[weather, calculate],
                run_tools=True,
                max_tool_rounds=4,
                max_tokens=500,
            )
        except NupicError as error:
            raise SystemExit(f"error: {error}") from None
    print(answer.text)


if __name__ == "__main__":
    main()
