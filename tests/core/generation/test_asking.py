"""Asking again for an answer whose form is wrong: how often, with what prompt, options and time."""

import pytest

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.asking import Asking
from nupic_client.errors import ConfigurationError, OutputError
from nupic_client.messages import assistant, user

WRONG = OutputError("wrong", text="12", violations=("it must be a text", "it is too small"))


def asking(prompt="Tell me.", now=10.0, **options):
    return Asking(prompt, options, CallOptions().override({"response_format": str, **options}), now)


def test_it_ends_after_so_many_questions():
    again = asking(output_retries=2)
    again.again(WRONG, 11.0)
    again.again(WRONG, 12.0)
    with pytest.raises(OutputError) as caught:
        again.again(WRONG, 13.0)
    assert caught.value is WRONG


def test_a_text_is_sent_as_it_is():
    again = asking()
    again.again(WRONG, 11.0)
    assert again.prompt == "Tell me."


def test_a_conversation_hears_what_is_wrong_with_the_last_answer_only():
    again = asking(iter([user("Tell me.")]))
    assert again.prompt == [user("Tell me.")]
    again.again(WRONG, 11.0)
    again.again(OutputError("wrong", text=" ", violations=("it is empty",)), 11.0)
    first, answer, complaint = again.prompt
    assert (first, answer) == (user("Tell me."), assistant("…"))
    assert complaint.role == "user"
    assert "- it is empty" in complaint.content
    assert "too small" not in complaint.content


def test_what_the_model_wrote_may_be_left_out_of_the_prompt():
    again = asking([user("Tell me.")])
    assert not again.unquoted()
    again.again(OutputError("wrong", text="\ud800", violations=("it must not be \ud800",)), 11.0)
    assert again.prompt[-1].content.splitlines()[1] == "- it must not be \\ud800"
    assert again.prompt[1].content == "\\ud800"
    assert again.unquoted()
    assert len(again.prompt) == 3
    assert "must not be" not in again.prompt[-1].content
    assert not again.unquoted()


def test_all_questions_share_the_time_of_the_call():
    again = asking(timeout=30)
    again.again(WRONG, 22.0)
    assert again.options["timeout"].total == 18.0
    with pytest.raises(OutputError):
        again.again(WRONG, 40.0)


def test_without_a_limit_there_is_none():
    again = asking(timeout=None)
    again.again(WRONG, 1e9)
    assert again.options["timeout"].total is None


def test_a_seed_would_give_the_same_answer():
    again = asking(seed=2**64 - 1, request_id="mine")
    again.again(WRONG, 11.0)
    assert (again.options["seed"], again.options["request_id"]) == (0, "mine-2")


def test_what_is_no_prompt_is_refused():
    with pytest.raises(ConfigurationError):
        asking({"role": "user"})
