"""What users of Triton's clients complain about, by number: each has the test that they would not have to here.

The list with links is docs/explanation/defects.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from defects.conftest import ENDLESS

from nupic_client import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    Finished,
    FinishReason,
    InferenceError,
    ModelRegistry,
    ModelSpec,
    StreamingClient,
    TextDelta,
    Timeouts,
    user,
)
from nupic_client.testing import FakeTriton, abort

PATIENCE = 10.0


def test_pain01_the_end_of_a_stream_is_an_event(client, server):
    """One cannot tell when a stream has ended."""
    *deltas, last = client.stream("hi").events()
    assert deltas == [TextDelta("one"), TextDelta(" two")]
    assert isinstance(last, Finished)
    assert (last.generation.text, last.generation.finish_reason) == ("one two", FinishReason.STOP)


@pytest.mark.parametrize("way", ["another thread", "another task"])
def test_pain02_a_generation_can_be_stopped_from_anywhere(client, server, way):
    """A generation that has begun cannot be stopped."""
    server.reply = ENDLESS
    if way == "another thread":
        stream = client.stream("hi")
        assert next(stream) == "one"
        threading.Thread(target=stream.close).start()
        server.wait_for_cancellation()
        return

    async def main():
        async with client.astream("hi") as stream:
            assert await anext(stream) == "one"
            asyncio.get_running_loop().call_soon(stream.cancel)
            await asyncio.to_thread(server.wait_for_cancellation)

    asyncio.run(main())


def test_pain03_a_web_server_shares_one_client(client, server):
    """A client has one stream, so a web server needs a client for each request."""
    server.reply = lambda request: [f"{request.prompt}:", "answer"]

    async def handler(number):
        return [text async for text in client.astream(str(number))]

    async def main():
        return await asyncio.gather(*map(handler, range(100)))

    with ThreadPoolExecutor(10) as pool:
        threads = [pool.submit(client.generate, f"t{number}") for number in range(50)]
        assert asyncio.run(main()) == [[f"{number}:", "answer"] for number in range(100)]
        assert [each.result().text for each in threads] == [f"t{number}:answer" for number in range(50)]


def test_pain04_a_server_that_falls_silent_does_not_hang_the_program(client, server, generate):
    """Programs hang: when they stop a stream, when they end, when the model dies."""
    server.reply = ENDLESS
    with pytest.raises(DeadlineExceededError) as caught:
        generate(client, "hi", timeout=Timeouts(between_tokens=0.1))
    assert caught.value.partial_text == "one two"
    server.wait_for_cancellation()


def test_pain05_the_text_is_neither_torn_nor_repeated(client, server, generate):
    """Characters are torn, spaces are lost, and each chunk repeats the text so far."""
    chunks = []
    smile = "\N{SMILING FACE WITH OPEN MOUTH}".encode()
    server.reply = ["a ", smile[:2], smile[2:], " b"]
    assert generate(client, "hi", callback=chunks.append).text == "a \N{SMILING FACE WITH OPEN MOUTH} b"
    assert "".join(chunks) == "a \N{SMILING FACE WITH OPEN MOUTH} b"
    server.reply = ["one", "one two", "one two three"]
    spec = ModelSpec(name="gpt", server_name="gpt.streaming", text="cumulative")
    with StreamingClient("gpt", server.url, registry=ModelRegistry([spec])) as other:
        assert generate(other, "hi").text == "one two three"


WAITS_FOR_NOTHING = {"count_tokens"}  # the client's own tokenizer counts them


def test_pain06_the_async_client_does_all_that_the_other_does(client, server):
    """The asyncio client is hardly documented and lacks half of the functions."""
    names = [name for name in vars(StreamingClient) if not name.startswith("_")]
    blocking = [name for name in names if not name.startswith("a") and name not in WAITS_FOR_NOTHING]
    assert blocking
    assert [name for name in blocking if f"a{name}" not in names] == []

    async def main():
        async with client.astream("hi") as stream:
            texts = [text async for text in stream]
        return texts, (await stream.result()).text

    assert asyncio.run(main()) == (["one", " two"], "one two")


def test_pain07_another_replica_answers_when_one_is_gone(generate):
    """Requests are not spread over replicas, and one that is gone is not noticed."""
    with ExitStack() as stack:
        first = stack.enter_context(FakeTriton(["fine"]))
        second = stack.enter_context(FakeTriton(["fine"]))
        client = stack.enter_context(StreamingClient("gpt.streaming", [first.url, second.url]))
        end = time.monotonic() + PATIENCE
        while not (first.requests and second.requests):
            assert time.monotonic() < end, "one of them is never asked"
            assert generate(client, "hi").text == "fine"
        first.stop()
        for _ in range(5):
            assert generate(client, "hi").text == "fine"


def test_pain08_the_values_and_prompts_need_no_grpc_and_no_protobuf(run):
    """The pins of gRPC, protobuf and numpy clash with everybody else's."""
    program = """
        import sys
        from nupic_client import SamplingParams, get_prompt_formatter, user
        get_prompt_formatter("chatml")([user("hi")])
        print(sorted({"grpc", "google.protobuf", "numpy", "tritonclient"} & set(sys.modules)))
    """
    assert run(program) == "[]\n"


def test_pain09_an_error_has_its_request_and_its_status(client, server, generate):
    """Errors say neither what failed nor how."""
    server.reply = ["one", abort("INTERNAL", "the model is tired")]
    with pytest.raises(InferenceError, match="tired") as caught:
        generate(client, "hi", request_id="mine")
    assert (caught.value.request_id, caught.value.status) == ("mine", "INTERNAL")
    assert caught.value.target == client.url


def test_pain10_stop_strings_and_templates_are_the_clients_business(server, generate):
    """Stop words stay in the text or are missed, the prompt is echoed, the template is the wrong one."""
    server.reply = ["Blue", ".<|im", "_end|>", "\nuser: more"]
    with StreamingClient("gpt.streaming", server.url, formatter="chatml") as client:
        assert generate(client, [user("Which flavour?")]).text == "Blue."
    assert server.requests[0].prompt == (
        "<|im_start|>user\nWhich flavour?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_pain11_what_the_model_does_not_take_is_not_sent(server, generate):
    """A wrong name, data type or a stream from a model that cannot ends in riddles, or in the server's abort."""
    with StreamingClient("gpt", server.url) as client:
        with pytest.raises(ConfigurationError, match=r"use 'gpt\.streaming', which this server has"):
            generate(client, "hi")
    with StreamingClient("gpt.streaming", server.url) as client:
        with pytest.raises(ConfigurationError, match="no_such_input"):
            generate(client, "hi", backend_inputs={"no_such_input": 1})
    assert not server.requests


def test_pain12_a_timeout_says_which_and_what_had_come(client, server, generate):
    """It is not clear what the timeouts mean and which of them has passed."""
    server.reply = ENDLESS
    with pytest.raises(
        DeadlineExceededError, match=r"within the timeout of 0.2 s: 2 chunks of text"
    ) as caught:
        generate(client, "hi", timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.elapsed >= 0.2


@pytest.mark.parametrize("leave", ["", "del stream", "client.close()", "raise SystemExit(0)"])
def test_pain13_a_program_ends_without_noise(server, run, leave):
    """Programs end with "Exception ignored in" and "Task was destroyed"."""
    server.reply = ENDLESS
    program = f"""
        import asyncio, sys
        from nupic_client import StreamingClient

        async def main():
            await anext(client.astream("hi"))

        client = StreamingClient("gpt.streaming", url=sys.argv[1])
        asyncio.run(main())
        stream = client.stream("hi")
        next(stream)
        {leave}
    """
    assert run(program, server.url) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is POSIX")
def test_pain14_a_fork_leaves_the_streams_of_the_parent_alone(server, run):
    """Forked workers hang or break the connection of their parent."""
    server.reply = ["one", " two"]
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks of programs with threads
        from nupic_client import StreamClosedError, StreamingClient
        client = StreamingClient("gpt.streaming", url=sys.argv[1], timeout=20)
        stream = client.stream("hi")
        assert next(stream) == "one"
        pid = os.fork()
        if not pid:
            try:
                next(stream)
            except StreamClosedError:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert list(stream) == [" two"]
    """
    run(program, server.url)


def test_pain15_what_happens_goes_to_a_logger_and_never_what_was_said(client, caplog, capfd, generate):
    """There are no types, and what happens is printed, prompts and all."""
    caplog.set_level(logging.DEBUG, logger="nupic_client")
    generate(client, "a secret")
    lines = [record.getMessage() for record in caplog.records if record.name == "nupic_client"]
    assert any("outcome=finished" in line for line in lines)
    assert not [line for line in lines if "secret" in line]
    assert capfd.readouterr() == ("", "")


def test_pain16_tls_trouble_is_said_in_words(server, generate):
    """Whatever is wrong with TLS is "failed to connect to all addresses"."""
    with StreamingClient("gpt.streaming", f"grpcs://{server.url}", max_retries=0) as client:
        with pytest.raises(ConnectionFailedError, match="does not speak TLS on this port"):
            generate(client, "hi")


def test_pain17_a_slow_reader_loses_nothing(client, server):
    """A client that reads slowly is disconnected, or fills the memory."""
    chunks = [f"{number};" * 200 for number in range(500)]
    server.reply = chunks
    other = client.stream("hi")
    stream = client.stream("hi")
    assert next(stream) == chunks[0]
    time.sleep(0.3)  # the server is done, or waits for the reader
    assert list(stream) == chunks[1:]
    assert list(other) == chunks


def test_pain18_a_trace_goes_on_in_the_server(client, server, generate):
    """The context of a trace does not reach the server."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    generate(client, "hi", metadata={"traceparent": parent})
    assert server.metadata[-1]["traceparent"] == parent


def test_pain19_chunks_come_in_order_in_many_streams(client, server):
    """Streams over HTTP are slow, and their tokens come out of order."""
    server.reply = [f"{number} " for number in range(300)]
    whole = "".join(server.reply)

    async def main():
        return await asyncio.gather(*(client.agenerate(str(number)) for number in range(20)))

    assert {generation.text for generation in asyncio.run(main())} == {whole}


def test_pain20_usage_finish_reason_and_timing_are_there(client, generate):
    """What a generation cost and why it ended is not told, though the server knows."""
    generation = generate(client, "three short words", max_tokens=1)
    assert (generation.usage.input_tokens, generation.usage.output_tokens) == (3, 1)
    assert generation.finish_reason is FinishReason.LENGTH
    assert 0 < generation.timing.time_to_first_token <= generation.timing.total
