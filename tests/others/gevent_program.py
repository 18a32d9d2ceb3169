"""An application under gevent: ``python gevent_program.py URL WHAT…``, where ``init`` tells gRPC of gevent.

What it prints and warns of is looked at by the test.
"""
# ruff: noqa: E402 - the patches come first

from gevent import monkey

monkey.patch_all()

import sys

if "init" in sys.argv:
    import grpc.experimental.gevent

    grpc.experimental.gevent.init_gevent()

import os
import time
import traceback
import warnings
from pathlib import Path

import gevent

from nupic_client import DeadlineExceededError, InferenceClient, StreamingClient, Timeouts
from nupic_client._grpc import housekeeping

LINGER = 0.3


def generate(client: StreamingClient) -> None:
    assert client.generate("whole").text == "one two", "another text"


def warned(client: StreamingClient) -> None:
    """A warning for the first blocking call, at the line that makes it, and no other one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generate(client)
        generate(client)
        generate(StreamingClient("gpt.streaming", url=sys.argv[1]))
    print([f"{Path(item.filename).name}: {item.category.__name__}: {item.message}" for item in caught])


def greenlets(client: StreamingClient) -> None:
    """Others go on while one waits."""
    ticks = []

    def tick() -> None:
        while True:
            gevent.sleep(0.01)
            ticks.append(1)

    gevent.spawn(tick)
    assert client.generate("slow").text == "one"
    assert len(ticks) > 5, len(ticks)
    many = [gevent.spawn(client.generate, "slow") for _ in range(8)]
    gevent.joinall(many, timeout=20)
    assert [item.value.text for item in many] == ["one"] * 8
    with InferenceClient("gpt", url=sys.argv[1]) as other:
        with other.map([{"text_input": "whole"}] * 10, concurrency=4) as results:
            assert len(list(results)) == 10
    ticks.clear()
    assert [result.text for result in client.map(["slow"] * 8, concurrency=4)] == ["one"] * 8
    assert len(ticks) > 5, len(ticks)
    for _ in client.map(["whole", "silent", "silent"], concurrency=2):
        break


def deadline(client: StreamingClient) -> None:
    """A greenlet that waits is woken, and one that leaves has its call ended."""
    for prompt, limits in (("late", Timeouts(first_token=0.3)), ("silent", Timeouts(between_tokens=0.3))):
        try:
            client.generate(prompt, timeout=limits)
        except DeadlineExceededError as error:
            if getattr(limits, error.deadline) != 0.3:
                raise
        else:
            raise AssertionError("no deadline")
    with client.stream("silent") as stream:
        assert next(stream) == "one"
    generate(client)


def fork(client: StreamingClient) -> None:
    """A child works, and so does its parent; what lives on of the parent in it is silent, also when it ends."""
    generate(client)
    with client.stream("slow") as stream:
        pids = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                try:
                    for _ in range(3):
                        generate(client)
                        time.sleep(2 * LINGER)
                    with client.stream("silent") as own:
                        assert next(own) == "one"
                    time.sleep(3 * LINGER)
                    generate(client)
                except BaseException:
                    traceback.print_exc()
                    sys.stderr.flush()
                    os._exit(1)
                sys.stdout.flush()
                os._exit(0)
            pids.append(pid)
        assert list(stream) == ["one"]
    generate(client)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]


def main() -> None:
    housekeeping._housekeeper._linger = LINGER
    with StreamingClient("gpt.streaming", url=sys.argv[1], timeout=20) as client:
        for name in sys.argv[2:]:
            if name != "init":
                globals()[name](client)


if __name__ == "__main__":
    main()
