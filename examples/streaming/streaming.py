"""Stream a model's answer to the terminal, token by token.

python streaming.py "Why is the sky blue?"
python streaming.py --url gpu-host:8001 --model my-gpt.streaming "Once upon a time"

Without a server on this machine it starts the embedded one, with a small real model, for this run.
"""

from __future__ import annotations

import argparse
import os
import sys

from nupic_client import (
    ConnectionFailedError,
    Generation,
    LocalServer,
    NupicError,
    StreamingClient,
    Timing,
    user,
)


def show(text: str) -> None:
    """Print a chunk of text as soon as it is there: the callback of the generation."""
    print(text, end="", flush=True)


def generate(model: str, url: str | None, prompt: str) -> Generation:
    """Stream the answer to a prompt. Without a url the client takes $NUPIC_URL, else localhost:8001."""
    with StreamingClient(model, url=url) as client:
        # A list of messages is written in the model's own chat format; a plain text is sent as it is.
        chats = client.model.formatter is not None
        return client.generate([user(prompt)] if chats else prompt, callback=show)


def generate_somewhere(model: str, url: str | None, prompt: str) -> Generation:
    """Stream the answer; if nothing answers at the default url, from the embedded server."""
    try:
        return generate(model, url, prompt)
    except ConnectionFailedError as error:
        # A server that was chosen is never replaced by another, nor is half an answer.
        if url is not None or os.environ.get("NUPIC_URL") or error.partial_text:
            raise
        print(f"Nothing answers at {error.target}: starting the embedded server.", file=sys.stderr)
    with LocalServer() as server:  # the first time it fetches its model (93 MB)
        return generate(model, server.url, prompt)


def report(timing: Timing) -> None:
    """Print how fast it was; where the server does not count tokens, each chunk of text counts as one."""
    if timing.time_to_first_token is not None:
        rate = timing.tokens_per_second or timing.chunks_per_second or 0.0
        print(f"\n\nTime to first token: {timing.time_to_first_token:.2f} s, {rate:.1f} tokens/s")


def main() -> int:
    """Read the command line, stream the answer and say how fast it was."""
    parser = argparse.ArgumentParser(description="Stream a model's answer, token by token.")
    parser.add_argument("prompt", nargs="?", default="Why is the sky blue? Answer in two sentences.")
    parser.add_argument("--model", default="smollm2", help="name of the model (default: %(default)s)")
    parser.add_argument("--url", help="gRPC address of the server (default: $NUPIC_URL, else localhost:8001)")
    arguments = parser.parse_args()
    try:
        generation = generate_somewhere(arguments.model, arguments.url, arguments.prompt)
    except NupicError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # the generation is cancelled on the server, too
        return 130
    report(generation.timing)
    return 0


if __name__ == "__main__":
    sys.exit(main())
