"""The calls of one answer: numbers, ids, limits, events."""

from __future__ import annotations

from nupic_client._core.generation.answer.calls import MAX_ARGUMENTS, MAX_CALLS, CallLog
from nupic_client.results import ToolArguments, ToolCallStarted
from nupic_client.tools import ToolCall


def new_log():
    return CallLog(lambda index: f"new_{index}")


def test_a_call():
    log = new_log()
    assert log.start("f", None)
    assert log.add('{"a":')
    assert log.add("")
    assert log.add(" 1}")
    log.complete()
    call = ToolCall("new_0", "f", '{"a": 1}')
    assert log.parts == [
        ToolCallStarted(0, "new_0", "f"),
        ToolArguments(0, '{"a":'),
        ToolArguments(0, " 1}"),
        call,
    ]
    assert log.calls == [call]


def test_ids_are_given_once():
    log = new_log()
    for identity in ("a", "a", "", None):
        assert log.start("f", identity)
        log.complete()
    assert [call.id for call in log.calls] == ["a", "new_1", "new_2", "new_3"]


def test_limits():
    log = new_log()
    for _ in range(MAX_CALLS):
        assert log.start("f", None)
        log.complete()
    assert log.is_full
    assert not log.start("f", None)
    log = new_log()
    log.start("f", None)
    assert log.add("x" * MAX_ARGUMENTS)
    assert not log.add("x")


def test_a_call_that_goes_on_is_told_again():
    log = new_log()
    log.start("f", None)
    log.complete()
    log.start("g", None)
    log.add("{")
    log.restart(in_call=True)
    assert log.parts == [ToolCallStarted(0, "new_1", "g"), ToolArguments(0, "{")]
    assert (log.calls, log.started) == ([], 1)
    log.restart(in_call=False)
    assert (log.parts, log.started) == ([], 0)
