"""Print the version of a server, its models, and the number of their requests."""

from __future__ import annotations

import argparse

from nupic_client import ServerClient


def main() -> None:
    """Print the server's name and a line for each model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="localhost:8001")
    arguments = parser.parse_args()

    with ServerClient(arguments.url) as server:
        server.wait_until_ready(timeout=30)
        about = server.metadata()
        print(f"{about.name} {about.version}")
        requests = {statistics.name: statistics.success.count for statistics in server.statistics()}
        for model in server.models():
            kind = "streams" if model.streams else "answers at once"
            print(f"{model.name}: {model.state}, {kind}, {requests.get(model.name, 0)} requests")


if __name__ == "__main__":
    main()
