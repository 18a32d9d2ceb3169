"""An agent of LangChain with two tools and an answer of a given form, on a NuPIC or Triton server.

pip install 'nupic-client[langchain]' langchain
python langchain_agent.py "How is the weather in Paris?"
python langchain_agent.py "How is the weather in Paris?" --model qwen3 --formatter qwen3
"""

from __future__ import annotations

import argparse

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from pydantic import BaseModel

from nupic_client import NupicError
from nupic_client.integrations.langchain import ChatNupic


class Advice(BaseModel):
    """What to take along."""

    city: str
    umbrella: bool


def weather(city: str) -> str:
    """Tell how the weather in a city is."""
    return f"sunny in {city}, 21 degrees"


def population(city: str) -> int:
    """Tell how many people live in a city."""
    return len(city) * 400_000


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("question")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--formatter", help="the family of the model, if its name does not tell")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    model = ChatNupic(
        model=arguments.model,
        url=arguments.url,
        formatter=arguments.formatter,
        temperature=0,
        max_tokens=200,
    )
    agent = create_agent(model, tools=[weather, population], response_format=Advice)
    question = {"messages": [{"role": "user", "content": arguments.question}]}
    try:
        state = agent.invoke(question, config={"recursion_limit": 10})
    except NupicError as error:
        raise SystemExit(f"error: {error}") from None
    finally:
        model.close()
    for message in state["messages"]:
        if isinstance(message, AIMessage):
            for call in message.tool_calls:
                print(f"[{call['name']} {call['args']}]")
        elif isinstance(message, ToolMessage):
            print(message.text)
    print(state["structured_response"])


if __name__ == "__main__":
    main()
