"""`nupic-client infer` and `nupic-client embed`."""

import json

import pytest
from inference.tensor_server import TensorServer, signature

MODELS = (
    signature(
        "echo",
        {"text": ("BYTES", (-1,)), "x": ("FP32", (-1,)), "flag": ("BOOL", (1,))},
        optional=("text", "x", "flag"),
    ),
    signature("texts", {"text": ("BYTES", (1,))}, max_batch_size=8),
)


@pytest.fixture
def tensors():
    with TensorServer(*MODELS) as server:
        yield server


@pytest.fixture
def run(main, capsys):
    def run(*arguments):
        code = main(*arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_values_mean_what_the_data_type_says(run, tensors):
    given = ["--input", "text=42", "--input", "x=[1.5, 2]", "--input", "flag=true"]
    code, out, err = run("infer", "--model", "echo", "--url", tensors.url, *given)
    assert (code, err) == (0, "")
    assert json.loads(out) == {"text": ["42"], "x": [1.5, 2.0], "flag": [True]}


def test_several_texts(run, tensors):
    for given in (["--input", "text=a", "--input", "text=[b"], ["--input", 'text=["a", "[b"]']):
        code, out, _ = run("infer", "--model", "texts", "--url", tensors.url, *given)
        assert (code, json.loads(out)) == (0, {"text": [["a"], ["[b"]]})


def test_inputs_from_json(run, tensors, typed, tmp_path):
    path = tmp_path / "inputs.json"
    path.write_text('{"x": [1, NaN, Infinity, -Infinity], "text": ["é"]}', encoding="utf-8")
    code, out, _ = run("infer", "--model", "echo", "--url", tensors.url, "--json-input", str(path))
    assert (code, json.loads(out)) == (0, {"text": ["é"], "x": [1.0, "NaN", "Infinity", "-Infinity"]})
    typed(b'{"x": [3]}')
    assert run("infer", "--model", "echo", "--url", tensors.url, "--json-input", "-")[1] == '{"x": [3.0]}\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "x=one"], "--input x must be FP32 as JSON, such as 1 or [1, 2], not 'one'"),
        (["--input", "nope=1"], "has no input 'nope'"),
        (["--input", "nope=one"], "has no input 'nope'"),
        (["--json-input", "/nowhere.json"], "cannot read /nowhere.json: No such file"),
        (["--json-input", "-"], "--json-input must be JSON, and stdin is not"),
        (["--input", "x=1", "--output", "y"], "'y'"),
    ],
)
def test_what_is_wrong_is_told(run, tensors, typed, arguments, words):
    typed(b"{")
    code, out, err = run("infer", "--model", "echo", "--url", tensors.url, *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_json_that_is_no_object(run, tensors, typed):
    typed(b"[1]")
    code, _, err = run("infer", "--model", "echo", "--url", tensors.url, "--json-input", "-")
    assert code == 2
    assert "must be a JSON object" in err


def test_arguments_that_argparse_refuses(main, capsys):
    for arguments in ([], ["--input", "x"], ["--input", "=1"], ["--input", "a=1", "--json-input", "-"]):
        with pytest.raises(SystemExit, match="2"):
            main("infer", "--model", "echo", *arguments)
    assert "--input must be NAME=VALUE, not 'x'" in capsys.readouterr().err


def test_a_model_that_streams_has_a_command_of_its_own(run, server):
    code, _, err = run("infer", "--url", server.url, "-m", "smollm2.streaming", "--input", "text_input=hi")
    assert code == 2
    assert err.endswith(
        "must answer at once, not stream (it is decoupled): use nupic-client generate for its text\n"
    )


@pytest.mark.model
def test_embed_out_of_the_box(run, default_url, typed):
    typed(b"A kitten rests.\r\nStocks fell.\n")
    code, out, err = run("embed", "The cat sits.", "-")
    assert code == 0
    assert err == f"nothing answers at {default_url}: starting the embedded server for this run\n"
    cat, kitten, stocks = (json.loads(line) for line in out.splitlines())
    assert len(cat) == 576
    assert sum(map(float.__mul__, cat, kitten)) > sum(map(float.__mul__, cat, stocks))


@pytest.mark.model
def test_infer_with_the_embedded_model(run):
    code, out, _ = run(
        "infer", "--model", "smollm2", "--local", "--input", "text_input=Hi", "--input", "max_tokens=1"
    )
    assert code == 0
    assert json.loads(out)["text_output"][0]


@pytest.mark.parametrize(
    ("arguments", "words"), [([" "], "a text is empty"), (["-"], "line 2 of stdin is empty")]
)
def test_an_empty_text_is_told(run, tensors, typed, arguments, words):
    typed(b"one\n\n")
    code, out, err = run("embed", "--url", tensors.url, *arguments)
    assert (code, out) == (2, "")
    assert words in err
