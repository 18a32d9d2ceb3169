"""Test your own code without a server: `FakeTriton` speaks Triton's protocol and answers from a script.

`EndpointGroup` has several of them, for clients of several servers.

The pytest fixture is opt-in: ``pytest_plugins = ("nupic_client.testing.fixtures",)``.
"""

from __future__ import annotations

from nupic_client._public import publish
from nupic_client.local.engine import EngineRequest as RecordedRequest
from nupic_client.local.engine import FinalPlacement, ServedModel, text_signature
from nupic_client.local.engines.scripted import (
    Reply,
    ReplySource,
    ScriptedEngine,
    Step,
    abort,
    end,
    fail,
    raw,
    silence,
    sleep,
)
from nupic_client.local.kserve.dynamo import dynamo_signature
from nupic_client.testing.endpoint_group import EndpointGroup
from nupic_client.testing.fake_triton import Cancellation, FakeTriton

__all__ = [
    "Cancellation",
    "EndpointGroup",
    "FakeTriton",
    "FinalPlacement",
    "RecordedRequest",
    "Reply",
    "ReplySource",
    "ScriptedEngine",
    "ServedModel",
    "Step",
    "abort",
    "dynamo_signature",
    "end",
    "fail",
    "raw",
    "silence",
    "sleep",
    "text_signature",
]


publish(__name__)
