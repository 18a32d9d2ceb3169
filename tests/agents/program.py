"""What an application does, as a program of its own: ``python program.py AGENT URL`` prints what failed, as JSON.

It is run under a tracing agent, which it instruments as that agent's documentation says, or is instrumented by the agent's
command. The server is in another process. It answers by the prompt: see ``replies.py``.
"""
# ruff: noqa: PLC0415 - an agent is imported before what it instruments

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

PATIENCE = 10.0
"""Seconds for what should be done at once."""
Trace = Callable[[], AbstractContextManager[object]]


def otel() -> Trace:
    """https://opentelemetry-python-contrib.readthedocs.io/en/latest/instrumentation/grpc/grpc.html."""
    from opentelemetry import trace
    from opentelemetry.instrumentation import grpc as instrumentation
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    trace.set_tracer_provider(provider)
    instrumentation.GrpcInstrumentorClient().instrument()
    instrumentation.GrpcInstrumentorServer().instrument()
    instrumentation.GrpcAioInstrumentorClient().instrument()
    instrumentation.GrpcAioInstrumentorServer().instrument()
    return lambda: trace.get_tracer(__name__).start_as_current_span("application")


def elastic() -> Trace:
    """https://www.elastic.co/docs/reference/apm/agents/python/instrumenting-custom-code and .../grpc-support."""
    import elasticapm

    client = elasticapm.Client(service_name="application", disable_send=True, central_config=False)
    elasticapm.instrument()

    @contextlib.contextmanager
    def transaction() -> Iterator[None]:
        client.begin_transaction("request")
        try:
            yield
        finally:
            client.end_transaction("application", "success")

    return transaction


def sentry() -> Trace:
    """https://docs.sentry.io/platforms/python/integrations/grpc/."""
    import sentry_sdk
    from sentry_sdk.integrations.grpc import GRPCIntegration

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        integrations=[GRPCIntegration()],
        before_send=lambda *_: None,
        before_send_transaction=lambda *_: None,
    )
    return lambda: sentry_sdk.start_transaction(op="task", name="application")


def datadog() -> Trace:
    """https://ddtrace.readthedocs.io/en/stable/integrations.html#grpc."""
    import ddtrace.auto  # noqa: F401
    from ddtrace.trace import tracer

    return lambda: tracer.trace("application")


def newrelic() -> Trace:
    """https://docs.newrelic.com/docs/apm/agents/python-agent/python-agent-api/initialize-python-agent-api/."""
    import newrelic.agent as agent

    agent.initialize()
    application = agent.register_application(timeout=10.0)
    return lambda: agent.BackgroundTask(application, name="application")


def by_command() -> Trace:
    """Instrumented already, by the agent's command."""
    return contextlib.nullcontext


AGENTS = {"otel": otel, "elastic": elastic, "sentry": sentry, "datadog": datadog, "newrelic": newrelic}


class Checks:
    """One check a method. `nupic_client` is imported after the agent, as agents want it."""

    def __init__(self, url: str) -> None:
        import nupic_client

        self.nupic = nupic_client
        self.client = nupic_client.StreamingClient("gpt.streaming", url=url, timeout=3 * PATIENCE)
        self.inference = nupic_client.InferenceClient("gpt", url=url, timeout=3 * PATIENCE)

    def instrumented(self) -> None:
        """The agent is at work: gRPC's functions, or what they return, are not gRPC's own."""
        import grpc

        with grpc.insecure_channel("127.0.0.1:9") as channel:
            method = type(channel.unary_unary("/x/y"))
            found = (grpc.insecure_channel, grpc.secure_channel, method.__call__)
            own = {type(item).__name__ for item in found} == {"function"} and type(
                channel
            ).__module__.startswith("grpc")
        assert (
            not own
            or any(hasattr(item, "__wrapped__") for item in found)
            or method.__module__ != "grpc._channel"
        )

    def generate(self) -> None:
        generation = self.client.generate("whole", max_tokens=10)
        assert (generation.text, len(generation.attempts)) == ("one two", 1)

    def stream(self) -> None:
        with self.client.stream("whole") as stream:
            assert list(stream) == ["one", " two"]
        assert stream.result().finish_reason is not None

    def astream(self) -> None:
        async def main() -> None:
            async with self.client.astream("whole") as stream:
                assert [text async for text in stream] == ["one", " two"]
            assert (await self.client.agenerate("whole")).text == "one two"

        asyncio.run(main())

    def leave(self) -> None:
        """Break, and the server is told while this process lives."""
        for way in ("break", "close", "drop", "from another thread"):
            stream = self.client.stream("silent")
            if way == "break":
                for _ in stream:
                    break
            else:
                assert next(stream) == "one"
                if way != "drop":
                    stream.close()
            request = stream.request_id
            del stream
            self._cancelled(request, way)

    def leave_async(self) -> None:
        async def main() -> str:
            async with self.client.astream("silent") as stream:
                async for _ in stream:
                    break
                return stream.request_id

        self._cancelled(asyncio.run(main()), "break")

    def _cancelled(self, request: str, way: str) -> None:
        answer = self.client.generate(f"cancelled? {request}").text
        assert answer == "yes", f"{way}: the model goes on"

    def error(self) -> None:
        calls = (
            lambda: self.client.generate("broken"),
            lambda: list(self.client.stream("broken")),
            lambda: asyncio.run(self.client.agenerate("broken")),
        )
        for call in calls:
            error = self._raised(self.nupic.InferenceError, call)
            assert "the GPU is on fire" in str(error)
            assert error.partial_text == "one"

    def status(self) -> None:
        """The call itself ends with an error."""
        for call in (
            lambda: self.client.generate("lost"),
            lambda: asyncio.run(self.client.agenerate("lost")),
        ):
            error = self._raised(self.nupic.OverloadedError, call)
            assert (error.partial_text, error.status) == ("one", "RESOURCE_EXHAUSTED")

    def deadline(self) -> None:
        """The reader waits and is woken."""
        limits = (
            ("late", {"first_token": 0.4}, ""),
            ("silent", {"between_tokens": 0.4}, "one"),
            ("silent", {"total": 1.0}, "one"),
        )
        for prompt, limit, text in limits:
            timeouts = self.nupic.Timeouts(**{"total": 2 * PATIENCE, **limit})
            for call in (self.client.generate, self._agenerate):
                start = time.monotonic()
                error = self._raised(
                    self.nupic.DeadlineExceededError,
                    lambda call=call, prompt=prompt, timeouts=timeouts: call(prompt, timeout=timeouts),
                )
                assert time.monotonic() - start < PATIENCE / 2, f"{limit}: not woken"
                assert (error.deadline, error.partial_text) == (next(iter(limit)), text)

    def _agenerate(self, *arguments: Any, **options: Any) -> Any:
        return asyncio.run(self.client.agenerate(*arguments, **options))

    def infer(self) -> None:
        assert self.inference.infer({"text_input": "whole"})["text_output"].tolist() == ["one two"]
        result = asyncio.run(self.inference.ainfer({"text_input": "whole"}))
        assert result["text_output"].tolist() == ["one two"]
        self._raised(self.nupic.InferenceError, lambda: self.inference.infer({"text_input": "broken"}))

    def map(self) -> None:
        with self.inference.map([{"text_input": "whole"}] * 20, concurrency=4) as results:
            assert [result["text_output"].tolist() for result in results] == [["one two"]] * 20

    def map_prompts(self) -> None:
        prompts = ["whole", "broken", *["whole"] * 18]
        found = list(self.client.map(prompts, concurrency=4, errors="return"))

        async def main() -> list[Any]:
            return [result async for result in self.client.amap(prompts, concurrency=4, errors="return")]

        for results in (found, asyncio.run(main())):
            assert isinstance(results.pop(1), self.nupic.InferenceError)
            assert [result.text for result in results] == ["one two"] * 19

    def leave_map(self) -> None:
        prompts = [("silent", {"request_id": "left"}), *["whole"] * 10]
        for count, _ in enumerate(self.client.map(prompts, concurrency=2, ordered=False)):
            if count == 5:
                break
        self._cancelled("left", "break")

    def own_server(self) -> None:
        """Start a server in the instrumented process."""
        from nupic_client.testing import FakeTriton

        with (
            FakeTriton(["three"]) as server,
            self.nupic.StreamingClient("gpt.streaming", url=server.url) as client,
        ):
            assert client.generate("hi").text == "three"
            assert asyncio.run(client.agenerate("hi")).text == "three"
            with self.nupic.ServerClient(server.url) as whole:
                assert whole.is_ready()

    @staticmethod
    def _raised(kind: type[Any], call: Callable[[], object]) -> Any:
        try:
            call()
        except kind as error:
            return error
        raise AssertionError(f"no {kind.__name__}")


NAMES = tuple(name for name in vars(Checks) if not name.startswith("_"))


def main(agent: str, url: str) -> None:
    trace = AGENTS.get(agent, by_command)()
    checks = Checks(url)
    for name in NAMES:
        failure = None
        try:
            with trace():
                getattr(checks, name)()
        except BaseException:
            failure = traceback.format_exc()
        print(json.dumps({"check": name, "failure": failure}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
