"""Talk to a model: each line of the standard input is a message, and the model remembers those before.

(echo My name is Ada.; echo What is my name?) | python conversation.py
"""

from __future__ import annotations

import argparse
import sys

from nupic_client import Conversation, StreamingClient


def main() -> None:
    """Answer line by line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with StreamingClient(arguments.model, url=arguments.url) as client:
        conversation = Conversation(client, system="You are a helpful assistant.")
        for line in sys.stdin:
            for text in conversation.stream(line.rstrip("\n"), max_tokens=100):
                print(text, end="", flush=True)
            print()
    print(f"{len(conversation.messages)} messages")


if __name__ == "__main__":
    main()
