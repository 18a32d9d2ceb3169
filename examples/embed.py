"""Turn sentences into vectors, and sort them by how close they are to a text."""

from __future__ import annotations

import argparse

from nupic_client import InferenceClient

SENTENCES = ["A cat sits on the mat.", "The stock market fell.", "It rained all day in Rome."]


def main() -> None:
    """Print the sentences, the closest one first."""
    parser = argparse.ArgumentParser()
    parser.add_argument("text", nargs="?", default="A kitten rests on the carpet.")
    parser.add_argument("--model", default="smollm2-embed")
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with InferenceClient(arguments.model, url=arguments.url) as client:
        vectors = client.embed([arguments.text, *SENTENCES])  # one row for each text
    scores = vectors[1:] @ vectors[0]
    for score, sentence in sorted(zip(scores, SENTENCES, strict=True), reverse=True):
        print(f"{score:.3f}  {sentence}")


if __name__ == "__main__":
    main()
