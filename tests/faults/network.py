"""The faults of networks and of connections, each with how it is made and how a generation ends that meets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from faults.http2 import DATA, HEADERS, Frame, goaway
from faults.proxy import Proxy, bytewise, cut, hold, reset_after, slow, twice
from faults.rows import (
    BEFORE_CALL,
    BEFORE_CONNECTION,
    BEFORE_TOKEN,
    IN_STREAM,
    PARTIAL,
    WHOLE,
    Row,
)
from nupic_client import Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SCENARIOS", "Scenario"]

UNREACHABLE = ("ConnectionFailedError (UNAVAILABLE)",)
PATIENT = Timeouts(total=60, first_token=30, between_tokens=30, connect=10)
HASTY = Timeouts(total=60, first_token=30, between_tokens=30, connect=0.6)
IMPATIENT = Timeouts(total=60, first_token=0.8, between_tokens=0.8, connect=10)
LAST_STREAM = 2**31 - 1
ENHANCE_YOUR_CALM = 11
NO_HOST = f"{'x' * 64}.invalid:8001"
"""A name that no resolver has to be asked about: a label has 63 characters at most."""


@dataclass(frozen=True)
class Scenario:
    """One fault at one moment.

    Args:
        row: what is expected.
        inject: makes the fault.
        timeouts: of the call that meets it.
        channel_options: of the client.
        url: of the client, where it is not the proxy's.
        endless: whether the answer falls silent after two tokens by itself.
        real: whether it is tried in front of the real server too. Not where a connection breaks in the middle of a stream:
            Triton 2.51.0 now and then dies of that (SIGSEGV, once in 15 resets).
    """

    row: Row
    inject: Callable[[Proxy], None] = lambda _: None
    timeouts: Timeouts = PATIENT
    channel_options: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    endless: bool = False
    real: bool = False

    @property
    def id(self) -> str:
        """Its name in the list of tests."""
        return f"{self.row.fault}, {self.row.where}"


def nothing_up(proxy: Proxy) -> None:
    proxy.behave(up=hold)


def nothing_down(proxy: Proxy) -> None:
    proxy.behave(down=hold)


def bytes_one_by_one(proxy: Proxy) -> None:
    proxy.behave(up=bytewise, down=bytewise)


def stall(proxy: Proxy) -> None:
    stalling = slow(2.0)
    proxy.behave(up=stalling, down=stalling)


def reset(count: int) -> Callable[[Proxy], None]:
    return lambda proxy: proxy.behave(down=reset_after(count))


def duplicate(kind: int) -> Callable[[Proxy], None]:
    return lambda proxy: proxy.behave(down=twice(kind))


def truncate(kind: int, *, honest: bool) -> Callable[[Proxy], None]:
    return lambda proxy: proxy.behave(down=cut(kind, honest=honest))


def go_away(last_stream: int) -> Callable[[Proxy], None]:
    return lambda proxy: proxy.inject(goaway(last_stream))


def nonsense(proxy: Proxy) -> None:
    """Continue headers that were never begun."""
    proxy.inject(Frame(9, stream=1, payload=b"nonsense").encode())


def calm_down(proxy: Proxy) -> None:
    """Do what gRPC servers do to those who ping too often."""
    proxy.inject(goaway(LAST_STREAM, ENHANCE_YOUR_CALM, b"too_many_pings"))
    proxy.hang_up()


def unreachable(fault: str, where: str, ended_by: str = "max_retries", limit: float = 1.5) -> Row:
    return Row(fault, where, UNREACHABLE, "", ended_by, limit, retryable=True, attempts=3)


def broken(fault: str, where: str = IN_STREAM) -> Row:
    return Row(fault, where, UNREACHABLE, PARTIAL)


def silent(fault: str, where: str, deadline: str, text: str = "") -> Row:
    return Row(fault, where, (f"DeadlineExceededError ({deadline})",), text, deadline, 0.8)


def damaged(fault: str, where: str, detail: str = "", text: str = "") -> Row:
    return Row(fault, where, (f"ProtocolError ({detail})" if detail else "ProtocolError",), text)


def damaged_each_time(fault: str, detail: str) -> Row:
    error = (f"ProtocolError ({detail})",)
    return Row(fault, BEFORE_TOKEN, error, "", "max_retries", 1.5, retryable=True, attempts=3)


def harmless(
    fault: str, where: str, ended_by: str = "the answer", limit: float = 0.0, text: str = WHOLE
) -> Row:
    return Row(fault, where, text=text, ended_by=ended_by, limit=limit)


SCENARIOS = (
    Scenario(unreachable("connection refused", BEFORE_CONNECTION), Proxy.refuse),
    Scenario(unreachable("connection refused", BEFORE_CALL), Proxy.refuse),
    Scenario(unreachable("host name that does not exist", BEFORE_CONNECTION), url=NO_HOST),
    Scenario(
        unreachable("black hole: accepted, never answered", BEFORE_CONNECTION, "connect, 3 times", 3.3),
        Proxy.black_hole,
        HASTY,
    ),
    Scenario(
        silent("black hole: accepted, never answered", BEFORE_CALL, "first_token"),
        Proxy.black_hole,
        IMPATIENT,
    ),
    Scenario(
        silent("black hole: accepted, never answered", IN_STREAM, "between_tokens", PARTIAL),
        Proxy.black_hole,
        IMPATIENT,
        real=True,
    ),
    Scenario(
        silent("half-open: nothing reaches the server", BEFORE_CALL, "first_token"), nothing_up, IMPATIENT
    ),
    Scenario(
        silent("half-open: nothing reaches the client", BEFORE_TOKEN, "first_token"), nothing_down, IMPATIENT
    ),
    Scenario(
        silent("half-open: nothing reaches the client", IN_STREAM, "between_tokens", PARTIAL),
        nothing_down,
        IMPATIENT,
        real=True,
    ),
    Scenario(unreachable("reset", BEFORE_CONNECTION), reset(0)),
    Scenario(unreachable("reset", BEFORE_TOKEN), reset(0)),
    Scenario(broken("reset", IN_STREAM), reset(0)),
    Scenario(broken("reset after 30 bytes, in the middle of a frame"), reset(30)),
    Scenario(broken("connection closed"), Proxy.hang_up),
    Scenario(harmless("one byte at a time", BEFORE_CONNECTION), bytes_one_by_one, real=True),
    Scenario(harmless("stalls of 2 s", IN_STREAM, "2 s", 2.0), stall),
    Scenario(
        silent("stalls of 2 s, a deadline of 0.8 s", IN_STREAM, "between_tokens", PARTIAL), stall, IMPATIENT
    ),
    Scenario(
        harmless("DATA frame twice", IN_STREAM, text="one two three three four"), duplicate(DATA), real=True
    ),
    Scenario(damaged_each_time("HEADERS frame twice", "UNKNOWN"), duplicate(HEADERS)),
    Scenario(
        damaged("DATA frame truncated, its head says so", IN_STREAM, text=PARTIAL),
        truncate(DATA, honest=True),
    ),
    Scenario(
        damaged("DATA frame truncated, its head does not say so", IN_STREAM, text=PARTIAL),
        truncate(DATA, honest=False),
    ),
    Scenario(
        damaged_each_time("HEADERS frame truncated, its head does not say so", "INTERNAL"),
        truncate(HEADERS, honest=False),
    ),
    Scenario(damaged("frame that breaks HTTP/2", IN_STREAM, "UNKNOWN", PARTIAL), nonsense),
    Scenario(
        Row(
            "response over grpc.max_receive_message_length",
            BEFORE_CONNECTION,
            ("RequestRejectedError (RESOURCE_EXHAUSTED)",),
            "",
        ),
        channel_options={"grpc.max_receive_message_length": 20},
    ),
    Scenario(
        Row(
            "request over grpc.max_send_message_length",
            BEFORE_CONNECTION,
            ("RequestRejectedError (RESOURCE_EXHAUSTED)",),
            "",
        ),
        channel_options={"grpc.max_send_message_length": 100},
    ),
    Scenario(harmless("GOAWAY (NO_ERROR)", BEFORE_TOKEN), go_away(LAST_STREAM), real=True),
    Scenario(harmless("GOAWAY (NO_ERROR)", IN_STREAM), go_away(LAST_STREAM), real=True),
    Scenario(unreachable("GOAWAY that disowns the stream", BEFORE_TOKEN), go_away(0)),
    Scenario(broken("GOAWAY that disowns the stream"), go_away(0)),
    Scenario(unreachable("GOAWAY (ENHANCE_YOUR_CALM, too_many_pings)", BEFORE_TOKEN), calm_down),
    Scenario(broken("GOAWAY (ENHANCE_YOUR_CALM, too_many_pings)"), calm_down),
    Scenario(
        Row(
            "a ping each 0.2 s (channel_options)",
            IN_STREAM,
            UNREACHABLE,
            PARTIAL,
            "the server's third strike",
            5.0,
        ),
        channel_options={"grpc.keepalive_time_ms": 200, "grpc.http2.max_pings_without_data": 0},
        endless=True,
        real=True,
    ),
)
