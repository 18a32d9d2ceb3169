"""The server of the soak, a process of its own that can be killed: it does what each prompt says."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from nupic_client._core.kserve import wire
from nupic_client.testing import FakeTriton, RecordedRequest, Step, abort, end, fail, raw, silence, sleep

from .plan import Plan

_FOREVER = 3600.0
_seen_once: set[str] = set()


def answer(request: RecordedRequest) -> Iterator[Step]:
    """Play the plan in the prompt."""
    plan = Plan.parse(request.prompt)
    for index, chunk in enumerate(plan.chunks()):
        if plan.fault and index == plan.at:
            yield from _fault(plan, request)
        if plan.delay:
            yield sleep(plan.delay)
        yield chunk
    if plan.fault and plan.at >= len(plan.chunks()):
        yield from _fault(plan, request)


def _fault(plan: Plan, request: RecordedRequest) -> Iterator[Step]:
    if plan.fault == "once":
        if plan.name not in _seen_once:
            _seen_once.add(plan.name)
            yield abort("UNAVAILABLE", "come back")
        _seen_once.discard(plan.name)
        return
    yield {
        "fail": lambda: fail("the engine exploded"),
        "break": lambda: abort("UNAVAILABLE", "Socket closed"),
        "silence": silence,
        "late": lambda: sleep(_FOREVER),
        "end": end,
        "foreign": lambda: raw(_foreign),
        "garbage": lambda: raw(b"\xff\xff\xff\xff no message"),
    }[plan.fault]()


def _foreign(request: RecordedRequest):
    message = wire.pb.ModelStreamInferResponse()
    message.infer_response.id = "somebody else's"
    message.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    message.infer_response.raw_output_contents.append(b"\x07\0\0\0foreign")
    return message


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    with FakeTriton(answer, port=parser.parse_args().port) as server:
        print(server.url, flush=True)
        while True:  # until it is killed; what it records would grow
            time.sleep(1.0)
            server.clear()
            if sys.stdin.closed:
                return


if __name__ == "__main__":
    main()
