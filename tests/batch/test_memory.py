"""Memory does not grow with the file."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("psutil")
pytestmark = pytest.mark.slow

_PROGRAM = """
import sys
import psutil
from nupic_client import batch
source, output, url = sys.argv[1:]
memory = psutil.Process().memory_info
seen = []
batch.run(source, output, model="smollm2", url=url, progress=lambda progress: seen.append((progress.fraction, memory().rss)))
first = next(rss for fraction, rss in seen if fraction > 0.2)
print(seen[-1][1] - first)
"""


def growth(files, url):
    """Return how many bytes a run grows from a fifth of its lines to its end."""
    command = [sys.executable, "-c", _PROGRAM, str(files.input), str(files.output), url]
    done = subprocess.run(
        command, capture_output=True, check=True, env={**os.environ, "GRPC_VERBOSITY": "NONE"}
    )
    return int(done.stdout)


def test_lines_that_are_sent(server, files):
    files.write(*(json.dumps({"id": n, "prompt": f"Story {n}"}) for n in range(6000)))
    assert growth(files, server.url) < 6_000_000


def test_200000_lines_that_are_wrong(server, files):
    files.write(*(json.dumps({"id": n, "title": f"Story {n}"}) for n in range(200_000)))
    assert growth(files, server.url) < 6_000_000
