"""What is logged: one line for each outcome, and never a word of what was said."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys

import pytest

from nupic_client import (
    AuthenticationError,
    ConfigurationError,
    InferenceClient,
    InferenceError,
    RetryPolicy,
    ServerClient,
    StreamingClient,
    user,
)
from nupic_client.logs import logger, switch_on
from nupic_client.testing import FakeTriton, abort, fail

pytestmark = pytest.mark.fake_only("what is logged does not depend on the server")

PROMPT, ANSWER, TOKEN, HEADER = "prompt-s3cr3t", "answer-s3cr3t", "token-s3cr3t", "header-s3cr3t"
ID = "request-1"


@pytest.fixture
def lines(caplog):
    """What is logged at INFO."""
    caplog.set_level(logging.INFO, logger="nupic_client")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "nupic_client"]


@pytest.fixture
def server():
    with FakeTriton([ANSWER, " ", "end"]) as server:
        yield server


@pytest.fixture
def client(server):
    with StreamingClient("gpt.streaming", server.url, formatter="chatml") as client:
        yield client


def test_a_generation_is_one_line(client, read, lines):
    read(client, PROMPT, request_id=ID)
    (line,) = lines()
    assert re.fullmatch(
        r"model=gpt\.streaming request=request-1 outcome=finished total=\d\.\d{3}s ttft=\d\.\d{3}s tokens=\S+ attempts=1",
        line,
    )


def test_a_failure_is_one_line_without_the_servers_words(server, client, read, lines):
    server.reply = [ANSWER, fail(f"cannot do {PROMPT}")]
    with pytest.raises(InferenceError):
        read(client, PROMPT)
    (line,) = lines()
    assert "outcome=InferenceError" in line
    assert "s3cr3t" not in line


def test_a_failure_before_the_first_token_has_its_status_and_attempts(server, client, read, lines):
    server.reply = [abort("RESOURCE_EXHAUSTED", "busy")]
    with pytest.raises(Exception, match="busy"):
        read(client, PROMPT, max_retries=RetryPolicy(max_retries=1, initial_backoff=0.01))
    (line,) = lines()
    assert "outcome=OverloadedError(RESOURCE_EXHAUSTED)" in line
    assert "ttft=- tokens=- attempts=2" in line


def test_a_failure_before_the_request_could_be_sent_is_one_line(server, read, lines):
    server.bearer_tokens = set()
    with StreamingClient("gpt.streaming", server.url) as client, pytest.raises(AuthenticationError):
        read(client, PROMPT, request_id=ID)
    (line,) = lines()
    assert "model=gpt.streaming request=request-1 outcome=AuthenticationError(UNAUTHENTICATED)" in line


def test_leaving_is_one_line(client, lines):
    with client.stream(PROMPT) as stream:
        next(stream)
    stream.close()
    (line,) = lines()
    assert "outcome=cancelled" in line


@pytest.mark.parametrize("flavour", ["sync", "async"])
def test_a_request_that_is_answered_at_once_is_one_line(server, lines, flavour):
    with InferenceClient("gpt", server.url) as client:
        inputs = {"text_input": [PROMPT]}
        client.infer(inputs, request_id=ID) if flavour == "sync" else asyncio.run(
            client.ainfer(inputs, request_id=ID)
        )
    (line,) = lines()
    assert re.fullmatch(
        r"model=gpt request=request-1 outcome=finished total=\S+s ttft=- tokens=- attempts=1", line
    )


def test_a_request_that_fails_at_once_is_one_line(server, lines):
    server.reply = [fail(PROMPT)]
    with InferenceClient("gpt", server.url) as client, pytest.raises(InferenceError):
        client.infer({"text_input": [PROMPT]})
    (line,) = lines()
    assert "outcome=InferenceError" in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize("ask", ["infer", "generate", "embed"])
def test_a_request_whose_model_could_not_be_asked_for_is_one_line(server, lines, ask):
    server.bearer_tokens = set()
    with InferenceClient("gpt", server.url) as client, pytest.raises(AuthenticationError):
        getattr(client, ask)(PROMPT)
    (line,) = lines()
    assert "model=gpt request=" in line
    assert "outcome=AuthenticationError(UNAUTHENTICATED)" in line
    assert line.endswith("attempts=1")


def test_nothing_that_was_said_is_in_any_line(server, read, caplog):
    caplog.set_level(logging.DEBUG, logger="nupic_client")
    source = iter(["old-s3cr3t", TOKEN])
    server.bearer_tokens = {TOKEN}
    options = {"metadata": {"x-key": HEADER}, "formatter": "chatml"}
    with StreamingClient("gpt.streaming", server.url, bearer_token=lambda: next(source), **options) as client:
        read(client, [user(PROMPT)])
        server.reply = [abort("UNAVAILABLE", PROMPT)]
        with pytest.raises(Exception, match="UNAVAILABLE"):
            read(client, PROMPT, max_retries=RetryPolicy(max_retries=1, initial_backoff=0.01))
    with StreamingClient("gpt.streaming", server.url, bearer_token="wrong-s3cr3t") as client:
        with pytest.raises(AuthenticationError):
            read(client, PROMPT)
    shown = [record.getMessage() for record in caplog.records if record.name == "nupic_client"]
    assert [line for line in shown if "sending to=" in line]
    assert [line for line in shown if "sent again in" in line]
    assert not [line for line in shown if "s3cr3t" in line]


# The switch


def run(level, code="client.generate('hi')"):
    """Run a generation in an interpreter of its own and return its stderr."""
    with FakeTriton(["Hello"]) as server:
        script = (
            "from nupic_client import StreamingClient\n"
            f"StreamingClient('gpt.streaming', {server.url!r}).close()\n"
            f"client = StreamingClient('gpt.streaming', {server.url!r})\n"
            f"{code}\nclient.close()"
        )
        environ = {**os.environ, "NUPIC_LOG": level}
        done = subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environ
        )
    assert done.stdout == ""
    return [line for line in done.stderr.splitlines() if "nupic_client" in line]


def test_without_the_switch_nothing_is_written():
    assert run("") == []


def test_info_writes_the_outcomes_once():
    (line,) = run("info")
    assert "nupic_client INFO model=gpt.streaming" in line


def test_debug_writes_more():
    lines = run("DEBUG")
    assert len(lines) == 2
    assert "nupic_client DEBUG" in lines[0]


@pytest.mark.parametrize("make", [lambda: StreamingClient("gpt"), ServerClient], ids=["streaming", "server"])
def test_another_value_is_an_error_that_says_the_right_ones(monkeypatch, make):
    monkeypatch.setenv("NUPIC_LOG", "loud")
    with pytest.raises(ConfigurationError, match=r"\$NUPIC_LOG must be info or debug, not 'loud'"):
        make()


def test_switching_on_twice_adds_one_handler():
    before, level = list(logger.handlers), logger.level
    try:
        switch_on({"NUPIC_LOG": "info"})
        switch_on({"NUPIC_LOG": "debug"})
        assert len(logger.handlers) == len(before) + 1
        assert logger.level == logging.DEBUG
    finally:
        for handler in set(logger.handlers) - set(before):
            logger.removeHandler(handler)
        logger.setLevel(level)


def test_the_logger_is_silent_by_itself():
    assert any(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
