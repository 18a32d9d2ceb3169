"""The settings of a benchmark, and the prompts that they lead to."""

from __future__ import annotations

import itertools
import json
import statistics

import pytest

from nupic_client import ConfigurationError, user
from nupic_client.bench import BenchSettings, run
from nupic_client.bench.prompts import prompt_source


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"concurrency": 0}, "concurrency must be a whole number >= 1, not 0"),
        ({"concurrency": True}, "concurrency must be a whole number >= 1, not True"),
        ({"concurrency": 1.5}, "concurrency must be a whole number >= 1, not 1.5"),
        ({"request_rate": 0}, "request_rate must be a number > 0, not 0"),
        ({"request_rate": "fast"}, "request_rate must be a number > 0, not 'fast'"),
        ({"request_rate": float("inf")}, "request_rate must be a number > 0, not inf"),
        ({"request_rate": []}, r"request_rate must be a number > 0, not \[\]"),
        ({"request_count": 0}, "request_count must be a whole number >= 1"),
        ({"warmup_request_count": -1}, "warmup_request_count must be a whole number >= 0"),
        ({"warmup_request_count": None}, "warmup_request_count must be a whole number >= 0, not None"),
        ({"measurement_interval": -1}, "measurement_interval must be a number > 0"),
        ({"output_tokens_stddev": -1}, "output_tokens_stddev must be a number >= 0"),
        ({"request_distribution": "uniform"}, "request_distribution must be 'constant' or 'poisson'"),
        (
            {"concurrency": 2, "request_rate": 2},
            "concurrency must not be given with request_rate: choose one",
        ),
        ({"prompts": ["a"], "input_file": "b"}, "prompts must not be given with input_file: choose one"),
        ({"goodput": {"speed": 1}}, "goodput must be of inter_token_latency, .* not 'speed'"),
        ({"goodput": {"request_latency": 0}}, "goodput must be a number > 0, not 0"),
        ({"system": 3}, "system must be a string, not 3"),
    ],
)
def test_a_setting_that_is_wrong_says_so(given, text):
    with pytest.raises(ConfigurationError, match=text) as raised:
        BenchSettings(**given)
    assert raised.value.parameter in given


def test_the_defaults_are_one_request_at_a_time_for_ten_seconds():
    settings = BenchSettings()
    assert (settings.load, settings.level, settings.interval) == ("concurrency", 1, 10.0)
    assert BenchSettings(request_count=5).interval is None
    assert BenchSettings(request_count=5, measurement_interval=2).interval == 2.0
    rated = BenchSettings(request_rate=2)
    assert (rated.load, rated.level) == ("request_rate", 2.0)


def test_an_option_that_does_not_exist_is_a_type_error():
    with pytest.raises(TypeError, match="max_token"):
        run("gpt", "localhost:1", max_token=5)


def take(count, **settings):
    source = prompt_source(BenchSettings(**settings))
    return [source.next() for _ in range(count)]


def test_made_up_prompts_have_as_many_words_as_asked_for_and_differ():
    prompts = take(20, synthetic_input_tokens_mean=30)
    assert {len(it.prompt.split()) for it in prompts} == {30}
    assert {it.words for it in prompts} == {30}
    assert len({it.prompt for it in prompts}) == 20
    assert {it.max_tokens for it in prompts} == {None}


def test_lengths_are_spread():
    prompts = take(
        400,
        synthetic_input_tokens_mean=100,
        synthetic_input_tokens_stddev=10,
        output_tokens_mean=50,
        output_tokens_stddev=5,
    )
    words, tokens = [it.words for it in prompts], [it.max_tokens for it in prompts]
    assert statistics.mean(words) == pytest.approx(100, abs=3)
    assert statistics.stdev(words) == pytest.approx(10, abs=2)
    assert statistics.mean(tokens) == pytest.approx(50, abs=2)
    assert statistics.stdev(tokens) == pytest.approx(5, abs=1)


def test_no_length_is_below_one():
    prompts = take(
        100,
        synthetic_input_tokens_mean=1,
        synthetic_input_tokens_stddev=50,
        output_tokens_mean=1,
        output_tokens_stddev=50,
    )
    assert min(it.words for it in prompts) == min(it.max_tokens for it in prompts) == 1


def test_the_seed_decides():
    assert take(5, random_seed=1) == take(5, random_seed=1)
    assert take(5, random_seed=1) != take(5, random_seed=2)


def test_given_prompts_come_in_turn():
    talk = [
        user("Why is it blue?"),
        {"role": "assistant", "content": "Rayleigh"},
        {"role": "user", "content": [1]},
    ]
    prompts = take(5, prompts=["a b", talk])
    assert [it.prompt for it in prompts] == ["a b", talk, "a b", talk, "a b"]
    assert [it.words for it in prompts] == [2, 5, 2, 5, 2]


def test_a_system_prompt_makes_messages():
    (prompt,) = take(1, prompts=["hi"], system="Be brief.")
    assert [(it.role, it.content) for it in prompt.prompt] == [("system", "Be brief."), ("user", "hi")]
    (prompt,) = take(1, prompts=["hi"], chat=True)
    assert [it.role for it in prompt.prompt] == ["user"]


@pytest.mark.parametrize(
    ("prompts", "text"),
    [
        ("hi", "must be a list .*, not str: put a single prompt into a list"),
        (3, "not int"),
        ([], "at least one"),
    ],
)
def test_prompts_that_are_none(prompts, text):
    with pytest.raises(ConfigurationError, match=text):
        prompt_source(BenchSettings(prompts=prompts))


def test_a_file_has_a_prompt_on_each_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("\ufeffone two\r\n\r\n{three\n".encode())
    assert [it.prompt for it in take(5, input_file=path)] == [
        "one two",
        "{three",
        "one two",
        "{three",
        "one two",
    ]


def test_a_file_of_json_lines(tmp_path):
    talk = [{"role": "user", "content": "Hi"}]
    lines = [{"text": "a"}, {"text_input": "b"}, {"prompt": "c", "id": 1}, {"messages": talk}]
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = [it.prompt for it in take(6, input_file=str(path))]
    assert found == list(itertools.islice(itertools.cycle(["a", "b", "c", talk]), 6))


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.jsonl", b'{"text": "a"}\nhi\n', "must have a JSON object on each line: line 2 is none"),
        (
            "a.jsonl",
            b'{"id": 1}\n',
            "must have text or text_input or prompt or messages on each line: line 1 has not",
        ),
        ("a.jsonl", b"[1]\n", "line 1 has not"),
        ("a.txt", b"\n\n", "must have at least one prompt: it has none"),
        ("a.txt", b"\xff\n", "must be UTF-8 text, which it is not"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=text) as raised:
        take(1, input_file=path)
    assert raised.value.parameter == "input_file"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match="must be a file that can be read: No such file"):
        take(1, input_file=tmp_path / "gone")
