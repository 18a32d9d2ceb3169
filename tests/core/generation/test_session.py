"""One generation from its request to its end: finished, cancelled or failed, and what each of them leaves."""

from __future__ import annotations

import logging
import struct

import pytest
from core.replies import (
    chunk,
    drive,
    error,
    generation_request,
    last,
    raw_bytes,
    reply,
    reply_message,
    session_of,
)

from nupic_client._core.calls.auth import Bearer
from nupic_client._core.calls.flows import FetchToken
from nupic_client._core.generation.request import WireRequest
from nupic_client._core.generation.session import GenerationSession
from nupic_client._core.kserve import wire
from nupic_client.attempts import Attempt
from nupic_client.backends.protocol import OutputNames
from nupic_client.errors import (
    AuthenticationError,
    ConnectionFailedError,
    DeadlineExceededError,
    IncompleteStreamError,
    InferenceError,
    ModelUnavailableError,
    ProtocolError,
    RequestRejectedError,
    StreamClosedError,
    StreamConsumedError,
)
from nupic_client.results import FinishReason, Usage
from nupic_client.signature import InputTensor


def session(**changes):
    return session_of(**changes)


def finished(**changes):
    """Make a session that ran to its end."""
    done = session(**changes)
    done.receive(chunk("Hel", final=False), 101.0)
    done.receive(chunk("lo", final=True), 102.0)
    done.ended(103.0)
    return done


def failed(**changes):
    """Make a session that failed after three letters."""
    broken = session(**changes)
    broken.receive(chunk("Hel", final=False), 101.0)
    with pytest.raises(InferenceError):
        broken.receive(error("engine exploded"), 102.0)
    return broken


def cancelled(**changes):
    """Make a session that the caller left after three letters."""
    left = session(**changes)
    left.receive(chunk("Hel", final=False), 101.0)
    left.cancelled(102.0)
    return left


# Running


def test_a_new_session_is_running_and_has_no_text():
    new = session()
    assert new.running
    assert not new.answered
    assert new.text == ""


def test_received_text_is_returned_and_kept():
    running = session()
    assert running.receive(chunk("Hel"), 101.0) == "Hel"
    assert running.receive(chunk("lo"), 102.0) == "lo"
    assert running.text == "Hello"


def test_reading_the_text_in_between_changes_nothing():
    running = session()
    running.receive(chunk("Hel"), 101.0)
    assert running.text == running.text == "Hel"
    running.receive(chunk("lo"), 102.0)
    assert running.text == "Hello"


def test_a_running_session_may_be_read():
    running = session()
    running.check_running()
    running.check_unread()


def test_responses_without_text_are_no_chunks():
    running = session()
    running.receive(chunk(""), 101.0)
    running.receive(chunk("a", final=True), 102.0)
    running.ended(103.0)
    assert running.result().timing.chunks == 1
    assert running.result().timing.time_to_first_token == 2.0


def test_the_remaining_time_counts_from_the_start():
    assert session(timeout=10.0).remaining(103.0) == 7.0


def test_the_remaining_time_is_never_negative():
    assert session(timeout=10.0).remaining(200.0) == 0.0


def test_without_a_timeout_there_is_no_remaining_time():
    assert session(timeout=None).remaining(103.0) is None


# Finished


def test_a_finished_session_gives_its_generation():
    generation = finished().result()
    assert generation.text == "Hello"
    assert generation.finish_reason is None
    assert (generation.model, generation.request_id, len(generation.attempts)) == ("llm", "r1", 1)
    assert generation.usage == Usage()
    assert (generation.timing.total, generation.timing.time_to_first_token) == (3.0, 1.0)


def test_a_complete_answer_still_runs_until_the_call_has_ended():
    complete = session()
    complete.receive(chunk("Hello", final=True), 101.0)
    assert complete.answered
    assert complete.running


def test_a_finished_session_may_be_asked_for_the_end_again():
    done = finished()
    done.check_running()
    done.check_unread()


def test_a_finished_session_that_was_read_cannot_be_read_again():
    done = finished()
    assert done.consumed() == ""
    done.check_running()
    with pytest.raises(StreamConsumedError, match="result"):
        done.check_unread()


def test_cancelling_a_finished_session_changes_nothing():
    done = finished()
    done.cancelled(200.0)
    assert done.result() == finished().result()


def test_an_error_after_the_end_changes_nothing():
    done = finished()
    late = ConnectionFailedError("gone")
    assert done.failed(late, 200.0) is late
    assert done.result().text == "Hello"


# Stop strings


def test_a_stop_string_completes_the_answer_early():
    stopped = session(stops=("<end>",))
    assert stopped.receive(chunk("a<end>b"), 101.0) == "a"
    assert stopped.stopped_early
    assert stopped.answered


def test_leaving_after_a_stop_string_is_a_finished_generation():
    stopped = session(stops=("<end>",))
    stopped.receive(chunk("a<end>b"), 101.0)
    stopped.cancelled(101.5)
    generation = stopped.result()
    assert (generation.text, generation.finish_reason) == ("a", FinishReason.STOP)
    assert generation.timing.total == 1.5


def test_a_stop_string_of_which_only_a_part_came_belongs_to_the_text():
    running = session(stops=("<end>",))
    running.receive(chunk("a<en"), 101.0)
    running.receive(last(), 102.0)
    running.ended(102.0)
    assert running.result().text == "a<en"


# Cancelled


def test_a_cancelled_session_gives_what_had_arrived():
    generation = cancelled().result()
    assert (generation.text, generation.finish_reason) == ("Hel", FinishReason.CANCELLED)
    assert generation.timing.total == 2.0


@pytest.mark.parametrize("check", ["check_running", "check_unread"])
def test_a_cancelled_session_cannot_be_read(check):
    with pytest.raises(StreamClosedError, match="closed before its end"):
        getattr(cancelled(), check)()


def test_cancelling_twice_keeps_the_first_time():
    left = cancelled()
    left.cancelled(200.0)
    assert left.result().timing.total == 2.0


def test_leaving_after_the_final_response_is_a_finished_generation():
    complete = session()
    complete.receive(chunk("Hello", final=True), 101.0)
    complete.cancelled(102.0)
    assert complete.result().finish_reason is None
    complete.check_running()


# Failed


def test_an_error_is_completed_with_the_facts_of_the_generation():
    broken = session()
    broken.failed_attempts = (Attempt("host:8001", "UNAVAILABLE", 0.5),) * 2
    broken.receive(chunk("Hel", final=False), 101.0)
    with pytest.raises(InferenceError) as caught:
        broken.receive(error("engine exploded", request_id=""), 102.0)
    found = caught.value
    assert (found.model, found.target, found.request_id) == ("llm", "host:8001", "r1")
    assert (len(found.attempts), found.partial_text) == (3, "Hel")


def test_facts_that_the_error_has_already_are_kept():
    running = session()
    given = ConnectionFailedError("gone", model="m", target="t", request_id="x")
    found = running.failed(given, 101.0)
    assert (found.model, found.target, found.request_id) == ("m", "t", "x")


def test_the_partial_text_has_what_was_held_back_for_a_stop_string():
    running = session(stops=("<end>",))
    running.receive(chunk("a<e"), 101.0)
    assert running.text == "a"
    assert running.failed(ConnectionFailedError("gone"), 102.0).partial_text == "a<e"


def test_the_partial_text_has_what_was_held_back_as_maybe_cumulative():
    running = session(output_names=OutputNames(cumulative=None))
    running.receive(chunk("Once"), 101.0)
    running.receive(chunk("Once upon"), 101.5)
    assert running.failed(ConnectionFailedError("gone"), 102.0).partial_text == "Once upon"


def test_a_failed_session_raises_the_same_error_again():
    broken = failed()
    errors = []
    for ask in (broken.result, broken.check_running, broken.check_unread):
        with pytest.raises(InferenceError) as caught:
            ask()
        errors.append(caught.value)
    assert len(set(map(id, errors))) == 1


def test_a_second_failure_does_not_replace_the_first():
    broken = failed()
    broken.failed(ConnectionFailedError("gone"), 200.0)
    with pytest.raises(InferenceError):
        broken.result()


def test_cancelling_a_failed_session_changes_nothing():
    broken = failed()
    broken.cancelled(200.0)
    with pytest.raises(InferenceError):
        broken.result()


def test_before_the_first_text_a_retryable_error_stays_retryable():
    assert session().failed(ConnectionFailedError("gone", retryable=True), 101.0).retryable


def test_after_the_first_text_no_error_is_retryable():
    running = session()
    running.receive(chunk("a"), 101.0)
    assert not running.failed(ConnectionFailedError("gone", retryable=True), 102.0).retryable


def test_a_passed_deadline_says_which_and_after_how_long():
    found = session(timeout=10.0).failed(DeadlineExceededError("too late"), 110.25)
    assert (found.deadline, found.limit, found.elapsed) == ("total", 10.0, 10.25)


def test_a_broken_protocol_ends_the_session():
    running = session()
    running.receive(last(), 101.0)
    with pytest.raises(ProtocolError):
        running.receive(last(), 102.0)
    assert not running.running


# The end of the call


def test_a_stream_that_ends_before_its_answer_is_incomplete_and_keeps_the_text():
    running = session()
    running.receive(chunk("Hel", final=False), 101.0)
    with pytest.raises(IncompleteStreamError) as caught:
        running.ended(102.0)
    assert (caught.value.partial_text, caught.value.model) == ("Hel", "llm")
    assert not running.running


def test_a_call_that_breaks_before_the_end_of_the_answer_is_a_failure():
    running = session()
    running.receive(chunk("Hel", final=False), 101.0)
    found = running.broken(ConnectionFailedError("gone"), 102.0)
    assert found.partial_text == "Hel"
    with pytest.raises(ConnectionFailedError):
        running.result()


def test_a_call_that_breaks_after_the_end_of_the_answer_is_no_failure():
    running = session()
    running.receive(chunk("Hello", final=True), 101.0)
    assert running.broken(ConnectionFailedError("gone"), 102.0) is None
    assert running.result().text == "Hello"


class ChunksThatGrowWhileTheyAreRead(list):
    """What the reading thread does to the list while another thread joins it, made certain."""

    def __iter__(self):
        yield from [self[index] for index in range(len(self))]
        self.append("!")


def test_asking_for_the_text_while_another_thread_receives_loses_nothing():
    running = session()
    running._chunks = ChunksThatGrowWhileTheyAreRead(["a", "b"])
    assert running.text == "ab"
    assert list.__len__(running._chunks) == 3


def test_the_repr_of_a_request_shows_neither_prompt_nor_metadata():
    message = wire.build_infer_request(
        "llm", [InputTensor("text_input", "BYTES", (1,), ("my secret prompt",))]
    )
    assert "secret" not in repr(WireRequest(message, OutputNames()))
    request = generation_request(prompt="my secret prompt", metadata={"authorization": "Bearer secret"})
    assert "secret" not in repr(request)


def test_the_repr_of_an_input_does_not_show_its_values():
    assert "secret" not in repr(InputTensor("text_input", "BYTES", (1,), ("my secret prompt",)))


# What others are told


def test_the_end_is_told_once_in_whatever_way_it_comes():
    for ending in (finished, failed, cancelled):
        told = []
        done = ending(on_end=told.append)
        assert told == [done]
        done.cancelled(200.0)
        assert told == [done]


def test_only_an_answer_that_came_to_its_end_is_finished():
    assert [ending().finished for ending in (session, finished, failed, cancelled)] == [
        False,
        True,
        False,
        False,
    ]


def test_the_failure_is_the_error_it_ended_with():
    assert [type(ending().failure) for ending in (session, finished, cancelled)] == [type(None)] * 3
    assert isinstance(failed().failure, InferenceError)


def test_a_passed_deadline_says_how_much_had_come():
    running = session(timeout=10.0)
    assert "no text had come after 10.0 s" in running.failed(DeadlineExceededError("too late"), 110.0).message
    running = session(timeout=10.0)
    running.receive(chunk("Hel"), 101.0)
    message = running.failed(DeadlineExceededError("too late"), 110.0).message
    assert message == (
        "the answer was not complete within the timeout of 10 s: 1 chunk of text (3 characters) had come after 10.0 s"
    )


def test_a_passed_deadline_that_was_not_ours_keeps_its_sentence():
    assert session(timeout=None).failed(DeadlineExceededError("too late"), 110.0).message == "too late"


# Found by fuzzing and by the soak


def test_an_error_that_comes_just_after_the_caller_left_is_not_raised():
    left = cancelled()
    with pytest.raises(StreamClosedError):
        left.receive(error("engine exploded"), 103.0)
    with pytest.raises(StreamClosedError):
        left.ended(104.0)
    assert left.result().text == "Hel"


def test_text_over_the_limit_leaves_no_gap_in_the_partial_text():
    limited = session(stops=("<end>",), max_output_bytes=8)
    assert limited.receive(chunk("abcde"), 101.0) == "abcde"
    with pytest.raises(ProtocolError, match="max_output_bytes") as caught:
        limited.receive(chunk("fghij<e"), 102.0)
    assert caught.value.partial_text == "abcde"


# The last chunk's event


def test_the_event_of_a_chunk_has_its_text_and_the_log_probabilities_that_came_with_it():
    running = session(output_names=OutputNames(cumulative=False, logprobs="p"))
    outputs = ("text_output", "BYTES", [1], raw_bytes(b"Hi")), ("p", "FP32", [1], struct.pack("<f", -0.5))
    event = running.delta(running.receive(reply(*outputs, final=False), 101.0))
    assert event.text == "Hi"
    assert [item.logprob for item in event.logprobs] == [-0.5]
    assert session().delta("Hi").logprobs is None


def test_a_response_that_is_the_whole_answer_completes_it():
    running = session()
    answer = reply_message(("text_output", "BYTES", [1], raw_bytes(b"Hi"))).infer_response
    assert running.receive(answer, 101.0, whole=True) == "Hi"
    assert running.answered


# Credentials


def source():
    raise AssertionError


def refused(message="no"):
    return AuthenticationError(message, status="UNAUTHENTICATED")


def test_a_refused_token_is_fetched_anew_once_without_a_pause_and_is_no_retry():
    running = session(bearer=Bearer(source), max_retries=0)
    assert drive(running.sign(), "first") == ([FetchToken(source)], (("authorization", "Bearer first"),))
    failure = running.broken(refused(), 101.0)
    assert running.running
    assert running.retry(failure, 101.0, 0.9) == 0.0
    assert drive(running.sign(), "second")[1] == (("authorization", "Bearer second"),)
    final = running.broken(refused(), 102.0)
    assert not running.running
    assert (len(final.attempts), running.failure) == (2, final)


def test_after_another_token_there_are_as_many_retries_as_before():
    running = session(bearer=Bearer(source), max_retries=1)
    drive(running.sign(), "first")
    running.retry(running.broken(refused(), 101.0), 101.0, 0.0)
    drive(running.sign(), "second")
    running.retry(running.broken(ConnectionFailedError("gone", retryable=True), 101.0), 101.0, 0.0)
    final = running.broken(ConnectionFailedError("gone", retryable=True), 102.0)
    assert not running.running
    assert len(final.attempts) == 3


def test_the_token_is_in_no_error_and_in_no_cause():
    running = session(bearer=Bearer("s3cret"))
    drive(running.sign())
    cause = RuntimeError("s3cret")
    shown = running.broken(refused("not s3cret"), 101.0)
    assert "s3cret" not in str(shown)
    assert running.cause(cause) is None


def test_an_error_that_shows_no_token_keeps_its_cause():
    running = session(bearer=Bearer("s3cret"))
    drive(running.sign())
    running.broken(refused(), 101.0)
    cause = RuntimeError("of gRPC")
    assert running.cause(cause) is cause


def test_the_token_is_in_no_error_inside_the_stream_either():
    running = session(bearer=Bearer("s3cret"))
    drive(running.sign())
    with pytest.raises(InferenceError) as caught:
        running.receive(error("I was sent s3cret"), 101.0)
    assert "s3cret" not in f"{caught.value}{caught.value.server_message}"


# What else it knows


def test_a_call_that_breaks_because_a_deadline_passed_is_that_deadlines_error():
    running = session()
    running.deadlines.expired = "first_token"
    failure = running.broken(ConnectionFailedError("cancelled"), 103.0)
    assert isinstance(failure, DeadlineExceededError)
    assert (failure.deadline, failure.elapsed, failure.chunks) == ("first_token", 3.0, 0)


@pytest.mark.parametrize("refusal", [RequestRejectedError("no such input"), ModelUnavailableError("gone")])
def test_a_refusal_says_that_the_signature_may_have_changed(refusal):
    told = []
    wire_request = WireRequest(wire.pb.ModelInferRequest(), OutputNames())
    running = GenerationSession(
        generation_request(), wire_request, 100.0, on_signature_changed=lambda: told.append(1)
    )
    running.broken(refusal, 101.0)
    assert told
    other = GenerationSession(
        generation_request(), wire_request, 100.0, on_signature_changed=lambda: told.append("other")
    )
    other.broken(InferenceError("boom"), 101.0)
    assert "other" not in told


def test_an_answer_may_be_of_any_length_without_a_limit_and_characters_count_as_their_bytes():
    assert session(max_output_bytes=None).receive(chunk("x" * 100), 101.0)
    assert session(max_output_bytes=4).receive(chunk("\u00e4\u00e4"), 101.0)
    with pytest.raises(ProtocolError):
        session(max_output_bytes=3).receive(chunk("\u00e4\u00e4"), 101.0)


# The log


def logged(caplog, ending):
    with caplog.at_level(logging.INFO, logger="nupic_client"):
        ending()
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [(finished, "finished"), (cancelled, "cancelled"), (failed, "InferenceError(INTERNAL)")],
)
def test_the_end_is_one_line_of_the_log_without_the_text(caplog, ending, outcome):
    (line,) = logged(caplog, ending)
    assert f"outcome={outcome} " in line
    assert "model=llm" in line
    assert "ttft=1.000s" in line
    assert "Hel" not in line
    assert "exploded" not in line


def test_the_line_may_be_written_later(caplog):
    waiting = []
    running = session()
    with caplog.at_level(logging.INFO, logger="nupic_client"):
        running.cancelled(101.0, waiting.append)
        assert not caplog.records
        waiting[0]()
    assert "outcome=cancelled" in caplog.records[-1].getMessage()


# Outputs besides the text


def with_score(text, score, *, final=False):
    outputs = [("score", "FP32", (1,), struct.pack("<f", score))]
    if text is not None:
        outputs.append(("text_output", "BYTES", (1,), raw_bytes(text)))
    return reply(*outputs, final=final)


def test_outputs_are_in_the_event_of_their_response_and_the_last_on_the_result():
    running = session(extra_outputs=("score",))
    deltas = []
    for response in (
        with_score(b"Hel", 0.5),
        chunk("lo", final=False),
        with_score("ü".encode()[:1], 1.5),
        with_score("ü".encode()[1:], 2.5),
        with_score(None, 3.5),
        last(),
    ):
        text = running.receive(response, 101.0)
        if text or running.outputs_only:
            deltas.append(running.delta(text))
    running.ended(102.0)
    assert [
        (delta.text, {name: array.tolist() for name, array in delta.outputs.items()}) for delta in deltas
    ] == [
        ("Hel", {"score": [0.5]}),
        ("lo", {}),
        ("", {"score": [1.5]}),
        ("ü", {"score": [2.5]}),
        ("", {"score": [3.5]}),
    ]
    assert (running.result().text, running.result().outputs["score"].tolist()) == ("Helloü", [3.5])
    assert running.consumed() == ""
    assert not running.outputs_only


def test_text_that_the_end_gives_out_has_no_outputs_of_the_response_before():
    """MLServer's answers end with the status of the call."""
    bare = reply_message(
        ("score", "FP32", (1,), struct.pack("<f", 0.5)), ("text_output", "BYTES", (1,), raw_bytes(b"EN"))
    ).infer_response
    bare.model_name = "llm"
    running = session(extra_outputs=("score",), stops=("END",))
    assert running.receive(bare.SerializeToString(), 101.0) == ""
    assert running.outputs_only
    assert running.delta("").outputs["score"].tolist() == [0.5]
    text = running.ended(102.0)
    assert (text, running.outputs_only, running.delta(text).outputs) == ("EN", False, {})


def test_without_the_option_there_are_no_outputs():
    running = session()
    text = running.receive(with_score(b"Hi", 0.5), 101.0)
    assert running.delta(text).outputs is None
    assert running.receive(with_score(None, 0.5), 101.0) == ""
    assert not running.outputs_only
    assert finished().result().outputs is None


def test_outputs_of_an_attempt_that_failed_are_not_on_the_result():
    running = session(extra_outputs=("score",), max_retries=1)
    with pytest.raises(ModelUnavailableError) as caught:
        running.receive(error("Request for unknown model: 'llm' has no available versions"), 101.0)
    running.retry(caught.value, 101.0, 0.0)
    running.receive(with_score(b"Hi", 0.5, final=True), 102.0)
    running.ended(103.0)
    assert running.result().outputs["score"].tolist() == [0.5]


def test_a_response_with_outputs_cannot_be_recognised_by_its_bytes():
    """Else its outputs would be those of the response before."""
    running = session(extra_outputs=("score",))
    scored, bare = with_score(b"ab", 1.0), chunk("ab", final=False)
    responses = [scored, scored, scored, bare, scored, bare, bare, bare, scored]
    found = ["score" in running.delta(running.receive(response, 101.0)).outputs for response in responses]
    assert found == [True, True, True, False, True, False, False, False, True]
