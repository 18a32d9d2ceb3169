"""Which model a stream goes to, which questions that takes, and which answers refuse it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core.replies import ask, opened, raw_bytes, remembers, reply_message

from nupic_client._core.calls.flows import Invoke
from nupic_client._core.calls.models import ModelDirectory
from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.opening import generate_unary
from nupic_client._core.generation.request import GenerationRequest
from nupic_client._core.generation.request_cache import RequestCache
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.backends.plain import PlainBackend
from nupic_client.errors import (
    ConfigurationError,
    ConnectionFailedError,
    DeadlineExceededError,
    ModelUnavailableError,
    ProtocolError,
    RequestRejectedError,
    UnknownModelError,
)
from nupic_client.registry import ModelRegistry, ModelSpec, default_registry
from nupic_client.timeouts import NO_RETRIES, Timeouts

MODELS = ["acme-zephyr-7b.streaming", "acme-zephyr-7b", "llama.streaming"]


def make_request(model=None, **options):
    return GenerationRequest(
        model=model or ModelSpec(name="llm"),
        prompt="Hi",
        options=CallOptions().override(options),
        request_id="r1",
        target="host:8001",
        backend=PlainBackend(),
    )


UNKNOWN = ModelRegistry([ModelSpec(name="mine")]).resolve("zephyr")


def not_found():
    return ModelUnavailableError("no such model", status="NOT_FOUND")


def index(*names):
    return wire.pb.RepositoryIndexResponse(models=[{"name": name} for name in names])


def config_reply(name="llm", *, decoupled=True):
    response = wire.pb.ModelConfigResponse()
    response.config.name = name
    response.config.model_transaction_policy.decoupled = decoupled
    string = wire.pb.model__config__pb2.DataType.Value("TYPE_STRING")
    response.config.input.add(name="text_input", data_type=string, dims=[1])
    response.config.output.add(name="text_output", data_type=string, dims=[1])
    return response


def ready(value):
    return wire.pb.ModelReadyResponse(ready=value)


# The signature


def test_the_signature_is_asked_for_once_and_remembered():
    known = ModelDirectory()
    commands, first = opened(make_request(), config_reply(), models=known)
    assert [type(command) for command in commands] == [Invoke]
    commands, second = opened(make_request(), models=known)
    assert commands == []
    assert first.message == second.message


def test_the_clock_starts_before_the_signature_is_asked_for():
    _, session = opened(make_request(timeout=10), config_reply(), clock=[100.0, 105.0])
    assert session.remaining(101.0) == 9.0


def test_the_question_carries_the_calls_metadata_and_timeout():
    commands, _ = opened(make_request(timeout=3, metadata={"a": "1"}), config_reply())
    assert (commands[0].timeout, commands[0].metadata) == (3.0, (("a", "1"),))


def test_a_model_that_does_not_stream_is_an_error_that_names_its_streaming_twin():
    known = ModelDirectory()
    with pytest.raises(
        ConfigurationError, match=r"'llm' does not stream .* use 'llm.streaming', which this server has"
    ):
        opened(make_request(), config_reply(decoupled=False), ready(True), models=known)
    assert not remembers(known)


def test_a_model_that_does_not_stream_and_has_no_twin_is_an_error_that_names_the_suffix():
    with pytest.raises(ConfigurationError, match=r"choose a model whose name ends in '\.streaming'"):
        opened(make_request(), config_reply(decoupled=False), ready(False))


def test_a_model_whose_name_ends_in_streaming_and_that_does_not_stream_is_not_its_own_twin():
    model = ModelSpec(name="llm.streaming")
    with pytest.raises(ConfigurationError, match=r"'llm\.streaming' does not stream") as caught:
        opened(make_request(model), config_reply("llm.streaming", decoupled=False))
    assert "which this server has" not in str(caught.value)


def test_an_unknown_model_gets_the_registrys_hint():
    model = default_registry().resolve("smollm3")
    with pytest.raises(ModelUnavailableError, match="smollm2") as caught:
        opened(make_request(model), not_found(), index())
    assert (caught.value.model, caught.value.request_id) == ("smollm3", "r1")


def test_a_known_model_that_is_not_there_gets_no_hint():
    with pytest.raises(ModelUnavailableError) as caught:
        opened(make_request(), not_found())
    assert caught.value.message == "no such model"


def test_a_failure_to_ask_is_raised_with_model_server_and_request_id_and_not_remembered():
    known = ModelDirectory()
    with pytest.raises(ConnectionFailedError) as caught:
        opened(make_request(), ConnectionFailedError("gone"), models=known)
    found = caught.value
    assert (found.model, found.target, found.request_id) == ("llm", "host:8001", "r1")
    assert str(found) == found.args[0]
    assert not remembers(known)


def test_a_deadline_that_passes_while_asking_says_its_limit():
    with pytest.raises(DeadlineExceededError) as caught:
        opened(make_request(timeout=3), DeadlineExceededError("too late"))
    assert caught.value.limit == 3.0


# Short names


def test_a_short_name_means_the_one_model_that_streams_and_has_it_in_its_name():
    known = ModelDirectory()
    _, session = opened(
        make_request(UNKNOWN), not_found(), index(*MODELS), config_reply(MODELS[0]), models=known
    )
    assert session.request.model.server_name == session.message.model_name == MODELS[0]
    assert remembers(known, "zephyr")


def test_a_short_name_is_looked_for_once():
    known = ModelDirectory()
    opened(make_request(UNKNOWN), not_found(), index(*MODELS), config_reply(MODELS[0]), models=known)
    commands, session = opened(make_request(UNKNOWN), models=known)
    assert session.message.model_name == MODELS[0]
    assert commands == []


def test_a_name_that_may_mean_several_models_is_an_error_that_lists_them():
    with pytest.raises(UnknownModelError, match=r"'a-zephyr\.streaming', 'b-zephyr\.streaming'") as caught:
        opened(make_request(UNKNOWN), not_found(), index("b-zephyr.streaming", "a-zephyr.streaming"))
    assert caught.value.known == ("a-zephyr.streaming", "b-zephyr.streaming")


@pytest.mark.parametrize(
    ("names", "words"),
    [(["llama.streaming", "x"], "Models that stream there: llama.streaming"), (["x"], "No model there")],
)
def test_a_name_that_no_model_has_is_an_error_that_lists_what_streams(names, words):
    with pytest.raises(ModelUnavailableError, match=words) as caught:
        opened(make_request(UNKNOWN), not_found(), index(*names))
    assert words in repr(caught.value)


def test_a_server_that_lists_no_models_leaves_the_first_error():
    with pytest.raises(ModelUnavailableError, match="no such model"):
        opened(make_request(UNKNOWN), not_found(), ConnectionFailedError("gone"))


def test_a_model_of_the_registry_is_not_looked_for():
    with pytest.raises(ModelUnavailableError):
        opened(make_request(ModelSpec(name="zephyr")), not_found())


def test_another_failure_is_not_answered_with_a_search():
    with pytest.raises(ConnectionFailedError):
        opened(make_request(UNKNOWN), ConnectionFailedError("gone"))


def test_a_model_that_is_not_loaded_now_is_not_looked_for_under_another_name():
    unloaded = ModelUnavailableError("has no available versions", status="NOT_FOUND", retryable=True)
    request = replace(make_request(UNKNOWN), options=CallOptions(retry=NO_RETRIES))
    with pytest.raises(ModelUnavailableError) as caught:
        opened(request, unloaded)
    assert caught.value.message == "has no available versions"


# Deadlines


def test_all_questions_share_one_deadline():
    clock = [100.0, 100.0, 101.0, 103.0, 105.0, 109.5]
    request = make_request(UNKNOWN, timeout=Timeouts(total=10.0))
    commands, session = opened(request, not_found(), index(*MODELS), config_reply(MODELS[0]), clock=clock)
    assert [command.timeout for command in commands] == [9.0, 5.0, 0.5]
    assert session.remaining(109.75) == 0.25


def test_a_question_for_which_no_time_is_left_fails_at_once():
    request = make_request(UNKNOWN, timeout=Timeouts(total=10.0))
    with pytest.raises(DeadlineExceededError):
        opened(request, DeadlineExceededError("late"), clock=[100.0, 100.0, 120.0])


def test_without_a_deadline_no_question_has_one():
    request = make_request(UNKNOWN, timeout=Timeouts(total=None, first_token=None))
    commands, _ = opened(request, not_found(), index(*MODELS), config_reply(MODELS[0]))
    assert [command.timeout for command in commands] == [None, None, None]


@pytest.mark.parametrize(
    ("timeouts", "limit"),
    [
        (Timeouts(total=None, first_token=5, connect=2), 7),
        (Timeouts(total=None, first_token=5, connect=None), 5),
        (Timeouts(total=3, first_token=5, connect=2), 3),
        (Timeouts(total=30, first_token=None), 30),
    ],
)
def test_the_questions_take_no_longer_than_the_first_token_and_the_connection_may(timeouts, limit):
    request = make_request(UNKNOWN, timeout=timeouts)
    commands, _ = opened(request, config_reply("zephyr"))
    assert [command.timeout for command in commands] == [limit]
    with pytest.raises(DeadlineExceededError, match=f"did not say within {limit} s") as caught:
        opened(request, DeadlineExceededError("late"))
    name = "total" if limit == timeouts.total else "first_token"
    assert (caught.value.limit, caught.value.deadline) == (limit, name)


def test_a_deadline_of_the_servers_own_keeps_its_sentence():
    request = make_request(UNKNOWN, timeout=Timeouts(total=None, first_token=None))
    with pytest.raises(DeadlineExceededError) as caught:
        opened(request, DeadlineExceededError("late"))
    assert (caught.value.message, caught.value.limit) == ("late", None)


@pytest.mark.parametrize("error", [RequestRejectedError("new version"), ModelUnavailableError("unloaded")])
def test_a_model_that_refuses_a_stream_is_asked_for_again(error):
    known = ModelDirectory()
    _, session = opened(make_request(), config_reply(), models=known)
    assert remembers(known)
    session.broken(error, 2.0)
    assert not remembers(known)


def test_a_signature_of_the_call_is_not_remembered_for_others():
    known, source = ModelDirectory(), ModelDirectory()
    opened(make_request(), config_reply(), models=source)
    signature = source.known(ModelSpec(name="llm"), CallOptions())[1]
    commands, _ = opened(make_request(signature=signature), models=known)
    assert commands == []
    assert not remembers(known)


class AnswersOnce(PlainBackend):
    """A backend for which a stream of one response is fine."""

    streaming_hint = None


def test_a_backend_may_take_a_model_that_answers_once_for_a_stream_and_that_is_remembered():
    known = ModelDirectory()
    request = replace(make_request(), backend=AnswersOnce())
    commands, session = opened(request, config_reply(decoupled=False), models=known)
    assert [command.method for command in commands] == ["ModelConfig"]
    assert session.running
    assert remembers(known)


def test_a_signature_of_the_call_that_does_not_stream_is_refused_after_a_look_for_the_twin():
    known, source = ModelDirectory(), ModelDirectory()
    opened(replace(make_request(), backend=AnswersOnce()), config_reply(decoupled=False), models=source)
    signature = source.known(ModelSpec(name="llm"), CallOptions())[1]
    with pytest.raises(ConfigurationError, match="'llm'"):
        opened(make_request(signature=signature), ready(False), models=known)
    opened(replace(make_request(signature=signature), backend=AnswersOnce()), models=known)
    assert not remembers(known)


# Without streaming


def answer(text="Hello", request_id="r1"):
    return reply_message(
        ("text_output", "BYTES", [1], raw_bytes(text.encode())), request_id=request_id
    ).infer_response


def generated(request, *replies, models=None, clock=()):
    return ask(generate_unary(request, models or ModelDirectory(), RequestCache()), *replies, clock=clock)


def test_a_model_that_answers_at_once_is_asked_and_its_answer_is_the_generation():
    request = make_request(metadata={"a": "1"})
    (_, call), generation = generated(request, config_reply(decoupled=False), answer())
    assert (call.method, call.metadata) == ("ModelInfer", (("a", "1"),))
    assert call.request.raw_input_contents[0] == raw_bytes(b"Hi")
    assert not call.request.parameters  # they would ask for the end of a stream
    assert (generation.text, generation.model, generation.request_id) == ("Hello", "llm", "r1")


def test_the_twin_that_answers_at_once_is_asked():
    request = make_request(ModelSpec(name="llm.streaming"))
    commands, generation = generated(request, config_reply("llm", decoupled=False), answer())
    assert commands[1].request.model_name == "llm"
    assert generation.model == "llm"


def test_a_model_that_streams_gives_a_session_that_is_not_sent_yet():
    commands, session = generated(make_request(), config_reply())
    assert [command.method for command in commands] == ["ModelConfig"]
    assert isinstance(session, GenerationSession)
    assert wire.EMPTY_FINAL_PARAMETER in session.message.parameters


def test_all_its_calls_share_one_deadline_and_the_time_counts_from_the_start():
    clock = [100.0, 100.0, 101.0, 104.0, 105.0]
    commands, generation = generated(
        make_request(timeout=10), config_reply(decoupled=False), answer(), clock=clock
    )
    assert [command.timeout for command in commands] == [9.0, 6.0]
    assert generation.timing.total == 5.0


def test_a_request_that_fails_is_completed_and_tells_how_often_it_was_sent():
    busy = ConnectionFailedError("gone", retryable=True)
    with pytest.raises(ConnectionFailedError) as caught:
        generated(make_request(max_retries=1), config_reply(decoupled=False), busy, 0.5, None, busy)
    error = caught.value
    assert (error.model, error.target, error.request_id, len(error.attempts)) == ("llm", "host:8001", "r1", 2)


def test_a_model_that_refuses_a_request_is_asked_for_again():
    known = ModelDirectory()
    with pytest.raises(RequestRejectedError):
        generated(
            make_request(), config_reply(decoupled=False), RequestRejectedError("new version"), models=known
        )
    assert not remembers(known)


def test_an_answer_to_another_request_breaks_the_protocol():
    with pytest.raises(ProtocolError, match="r9") as caught:
        generated(make_request(), config_reply(decoupled=False), answer(request_id="r9"))
    assert caught.value.model == "llm"
