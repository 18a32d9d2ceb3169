"""The value of a text whose form was asked for: what is read, what is wrong, and what a cut changes."""

import pytest

from nupic_client._core.calls.options import CallOptions
from nupic_client._core.generation.output import growing_value, read_output, with_output
from nupic_client._output_format import read_format
from nupic_client.errors import ConfigurationError, OutputError
from nupic_client.response_format import Choice, Regex
from nupic_client.results import FinishReason, Generation, Timing, Usage


def generation(text, reason=FinishReason.STOP):
    return Generation(
        text=text,
        finish_reason=reason,
        usage=Usage(output_tokens=3),
        timing=Timing(total=1.0),
        model="m",
        request_id="r",
    )


def output(form, text, reason=FinishReason.STOP, **options):
    made = generation(text, reason)
    call = CallOptions().override({"response_format": form, **options})
    return with_output(made, read_output(read_format(form), made, call))


def test_the_value_is_that_of_the_text():
    assert output(list[int], "[1, 2]").parsed == [1, 2]
    assert output(list[int], "[1, 2]").text == "[1, 2]"


def test_an_answer_of_another_form_is_an_error_with_all_that_is_known():
    with pytest.raises(OutputError, match=r"model 'm' .*: \[1\] must be an integer, not \"x\"") as caught:
        output(list[int], '[1, "x", null]')
    error = caught.value
    assert error.text == '[1, "x", null]'
    assert error.violations == ('[1] must be an integer, not "x"', "[2] must be an integer, not null")
    assert "(and 1 more in violations)" in str(error)
    assert error.partial == [1, "x", None]
    assert error.generation.usage.output_tokens == 3
    assert error.generation.parsed is None


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (int, "12"),
        (list[int], "[1, 2"),
        (dict[str, int], '{"a": 1'),
        (Regex("[0-9]+"), "12"),
        (Choice(["yes", "yes, please"]), "yes"),
    ],
)
def test_an_answer_that_was_cut_is_not_taken_for_a_whole_one(form, text):
    with pytest.raises(OutputError, match=r"was cut at max_tokens.*: give a larger max_tokens") as caught:
        output(form, text, FinishReason.LENGTH)
    assert caught.value.violations[0].startswith("the text was cut")


@pytest.mark.parametrize(
    ("form", "text", "value"),
    [
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": 1}\n \n', {"a": 1}),
        (str, '"a"', "a"),
        (Choice(["yes", "no"]), "no", "no"),
    ],
)
def test_an_answer_with_an_end_is_whole_though_the_tokens_ended_with_it(form, text, value):
    assert output(form, text, FinishReason.LENGTH).parsed == value


def test_what_was_read_of_a_cut_answer_is_in_the_error():
    with pytest.raises(OutputError) as caught:
        output(dict[str, int], '{"a": 1, "b": 2', FinishReason.LENGTH)
    assert caught.value.partial == {"a": 1}
    with pytest.raises(OutputError) as caught:
        output(int, "12", FinishReason.LENGTH)
    assert caught.value.partial == 12


def test_only_where_no_server_enforces_the_form_is_what_stands_around_it_left_out():
    fenced = "```json\n[1]\n```"
    assert output(list[int], fenced, enforce="validate").parsed == [1]
    with pytest.raises(OutputError):
        output(list[int], fenced)


def test_thoughts_before_the_answer_are_left_out():
    assert output(list[int], "[1]? Yes.</think>\n\n[1]\n").parsed == [1]
    assert output(str, '"</think>"').parsed == "</think>"
    with pytest.raises(OutputError) as caught:
        output(list[int], "Hm.</think> [1, 2", FinishReason.LENGTH)
    assert caught.value.partial == [1]
    assert caught.value.text == "Hm.</think> [1, 2"


def test_a_value_that_grows_is_that_of_json():
    value = growing_value(read_format(list[int]))
    assert value.feed("[1, 2")
    assert value.value == [1]
    assert growing_value(None).value is None
    with pytest.raises(ConfigurationError, match=r"must be a type, a JSON Schema or 'json' .* not Regex"):
        growing_value(read_format(Regex("a")))
