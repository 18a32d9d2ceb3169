"""What one call asks the server to do, and what must come of it.

The plan travels in the prompt: the server follows it, so both sides know every byte of the answer. Each token carries the
call's name and its number; a token that is lost, repeated or of another call cannot go unnoticed.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, replace

from nupic_client import (
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    NupicError,
    ProtocolError,
    RequestError,
    StreamClosedError,
    Timeouts,
    TransportError,
)

STREAM_FAULTS = ("fail", "break", "once", "silence", "late", "end", "foreign", "garbage")
UNARY_FAULTS = ("fail", "break", "once", "late", "garbage")
EXPECTED = {
    "fail": InferenceError,
    "break": ConnectionFailedError,
    "silence": DeadlineExceededError,
    "late": DeadlineExceededError,
    "end": IncompleteStreamError,
    "foreign": ProtocolError,
    "garbage": ProtocolError,
}
"""The error of each fault; after `once` the call is sent again and succeeds."""


class ViolationError(AssertionError):
    """The client did what it must never do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One call.

    Args:
        name: of the call.
        tokens: how many the answer has.
        delay: seconds before each.
        seed: where the bytes of the answer are cut; 0 leaves every token whole.
        fault: what goes wrong, or nothing.
        at: before which chunk.
    """

    name: str
    tokens: int
    delay: float = 0.0
    seed: int = 0
    fault: str = ""
    at: int = 0

    @classmethod
    def make(cls, name: str, chance: random.Random, faults: tuple[str, ...]) -> Plan:
        plan = cls(
            name,
            tokens=chance.choice((1, 5, 20, 60)),
            delay=chance.choice((0.0, 0.0, 0.002, 0.01)),
            seed=chance.choice((0, chance.randrange(1, 2**31))),
        )
        if chance.random() < 0.6:
            return plan
        return replace(plan, fault=chance.choice(faults), at=chance.randint(0, len(plan.chunks())))

    @classmethod
    def parse(cls, prompt: str) -> Plan:
        return cls(**json.loads(prompt))

    @property
    def prompt(self) -> str:
        return json.dumps(asdict(self))

    def chunks(self) -> list[bytes]:
        """The responses' texts, cut in the middle of characters too."""
        tokens = [f"⟦{self.name}:{index}⟧".encode() for index in range(self.tokens)]
        if not self.seed:
            return tokens
        whole, chance = b"".join(tokens), random.Random(self.seed)
        cuts = sorted({chance.randrange(1, len(whole)) for _ in range(self.tokens - 1)})
        return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def text(self, count: int | None = None) -> str:
        """The text of the first chunks."""
        return b"".join(self.chunks()[:count]).decode(errors="replace")

    @property
    def timeouts(self) -> Timeouts:
        """Short where the deadline is the point, far longer than any machine needs elsewhere."""
        if self.fault == "silence":
            return Timeouts(total=60, first_token=0.5, between_tokens=0.5)
        return Timeouts(total=0.5 if self.fault == "late" else 60, first_token=60, between_tokens=60)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a call.

    Args:
        text: what the reader was given.
        error: what it ended with.
        left: whether the caller left on purpose.
        unary: whether the answer comes at once.
    """

    text: str
    error: BaseException | None = None
    left: bool = False
    unary: bool = False


def judge(plan: Plan, seen: Seen, *, outage: bool) -> str:
    """Return the name of the outcome.

    Args:
        plan: of the call.
        seen: what came of it.
        outage: whether the server was killed meanwhile.

    Raises:
        ViolationError: it is none of those that are allowed.
    """
    if not plan.text().startswith(seen.text.rstrip("\ufffd")):
        raise ViolationError(f"{plan}: a token was lost, repeated or is foreign: {seen.text!r}")
    if seen.left and (seen.error is None or isinstance(seen.error, StreamClosedError)):
        return "left by the caller"
    if seen.error is None:
        if plan.fault not in {"", "once"} or seen.text != plan.text():
            raise ViolationError(f"{plan}: ended as if all was well with {seen.text!r}")
        return "sent again, complete" if plan.fault else "complete"
    if not isinstance(seen.error, NupicError):
        raise ViolationError(f"{plan}: {seen.error!r} is no error of the library") from seen.error
    return _judge_error(plan, seen, seen.error, outage=outage)


def _judge_error(plan: Plan, seen: Seen, error: NupicError, *, outage: bool) -> str:
    partial = error.partial_text if isinstance(error, RequestError) else ""
    if not partial.startswith(seen.text) or not plan.text().startswith(partial.rstrip("\ufffd")):
        raise ViolationError(f"{plan}: {seen.text!r} was given, partial_text is {partial!r}") from error
    expected = EXPECTED.get(plan.fault)
    if expected is not None and isinstance(error, expected):
        exact = plan.fault in {"fail", "break", "end", "foreign", "garbage"} and not seen.unary
        if exact and not outage and partial != plan.text(plan.at):
            raise ViolationError(f"{plan}: the text before the fault is {partial!r}") from error
        return f"as planned: {plan.fault}"
    if outage and isinstance(error, TransportError):
        return "server killed"
    raise ViolationError(f"{plan}: {error!r} was not planned") from error
