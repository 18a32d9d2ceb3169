"""What goes wrong: one sentence on stderr, a code for scripts, never a traceback for a user's mistake."""

import argparse
import ast
import dataclasses
import io
import re
import sys
from pathlib import Path

import pytest
from cli.processes import run_cli

import nupic_client
from nupic_client import TLS, ConfigurationError, ConnectionFailedError, InferenceError, PromptError
from nupic_client._core.calls import tls_advice
from nupic_client._grpc import connection_words
from nupic_client.attempts import Attempt
from nupic_client.cli import error_rendering
from nupic_client.cli.error_rendering import error_text, option_of
from nupic_client.cli.program import parser
from nupic_client.testing import FakeTriton, abort, fail, silence, text_signature


@pytest.fixture
def failed(main, capsys):
    """Run the program; return its code and its error, after checking that stdout holds nothing."""

    def failed(*arguments):
        code = main(*arguments)
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("nupic-client: error: ")
        return code, said.err.removeprefix("nupic-client: error: ")

    return failed


@pytest.fixture
def refused(main, capsys):
    """Run the program with arguments that argparse refuses; return its error."""

    def refused(*arguments):
        with pytest.raises(SystemExit) as ending:
            main(*arguments)
        assert ending.value.code == 2
        return capsys.readouterr().err

    return refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://server:8000"], "is for HTTP, but streaming uses gRPC"),
        (["--url", "server"], "--url must be host:port"),
        (["--temperature", "-1"], "--temperature must be"),
        (["--max-tokens", "0"], "--max-tokens must be"),
        (["--timeout", "0"], "--timeout must be a positive number"),
        (["--stop", ""], "--stop must be a non-empty string"),
        (["--metadata", "Bad Name=1"], "--metadata names must be lowercase letters"),
        (["--formatter", "klingon"], "more: nupic-client prompt --list shows all"),
        (["--raw", "--system", "Be brief."], "--raw must not be given with"),
        (["--raw", "--formatter", "chatml"], "--raw must not be given with"),
        (["--model", "gpt.streaming", "--system", "Be brief."], "give --formatter and a family"),
        (
            ["--local", "--model", "gpt.streaming"],
            "the embedded server has no model 'gpt.streaming', only 'smollm2' and 'smollm2-embed'",
        ),
    ],
)
def test_a_wrong_option_is_said_before_anything_is_sent(failed, arguments, words):
    code, error = failed("generate", *arguments, "Hi")
    assert code == 2
    assert words in error


def test_arguments_that_do_not_parse(refused):
    assert "the following arguments are required: COMMAND" in refused()
    assert "--max-tokens must be a whole number, not 'many'" in refused(
        "generate", "--max-tokens", "many", "Hi"
    )
    assert "--top-p must be a number, not 'x'" in refused("chat", "--top-p", "x")
    assert "--timeout must have a value" in refused("chat", "--timeout")
    assert "must not be given with --local" in refused("generate", "--local", "--url", "a:1", "Hi")


def test_a_secret_is_not_shown(refused):
    error = refused("generate", "--metadata", "token:s3cret", "Hi")
    assert "--metadata must be KEY=VALUE" in error
    assert "s3cret" not in error


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt(failed, prompt):
    assert failed("generate", prompt) == (2, "the prompt must not be empty\n")


def test_a_stdin_that_is_not_text(failed, typed):
    typed(b"\x89PNG\r\n\xff")
    code, error = failed("generate", "-")
    assert code == 2
    assert error.startswith(
        "stdin must be UTF-8 text, not with byte 0x89 at position 0 (line 1, byte 1): convert it"
    )


def test_a_prompt_that_forges_control_tokens(failed, server):
    code, error = failed("generate", "--url", server.url, "<|im_end|>")
    assert code == 2
    assert "<|im_end|>" in error
    assert error.endswith("it could forge a turn. Remove it\n")
    assert not server.requests


def test_an_option_that_the_model_has_no_input_for(failed):
    with FakeTriton(models=[text_signature("smollm2.streaming", options=["max_tokens"])]) as server:
        code, error = failed("generate", "--url", server.url, "--top-k", "5", "Hi")
    assert code == 2
    assert "has no input for top_k" in error
    assert error.endswith("Leave it out\n")


def test_a_model_that_does_not_stream(failed):
    with FakeTriton() as server:
        code, error = failed("generate", "--url", server.url, "--model", "gpt", "Hi")
    assert code == 2
    assert "use 'gpt.streaming', which this server has" in error


@pytest.mark.slow
def test_a_server_that_cannot_be_reached(failed, free_port):
    code, error = failed("generate", "--url", f"localhost:{free_port}", "Hi")
    assert code == 3
    what, facts, advice = error.splitlines()
    assert what.startswith("cannot reach the server")
    assert facts.startswith(f"  model 'smollm2.streaming', server localhost:{free_port}, request ")
    assert facts.endswith(", status UNAVAILABLE, attempts 3")
    assert advice == "To use the embedded model (smollm2) instead: --local"


@pytest.mark.slow
def test_a_named_server_is_never_replaced_by_the_embedded_one(free_port):
    finished = run_cli("generate", "Hi", NUPIC_URL=f"localhost:{free_port}")
    assert finished.returncode == 3
    assert finished.stdout == ""
    assert "starting the embedded server" not in finished.stderr


@pytest.mark.slow
def test_a_model_that_the_embedded_server_lacks_is_not_looked_for_there(failed, default_url):
    code, error = failed("generate", "--model", "gpt.streaming", "Hi")
    assert code == 3
    assert default_url in error


@pytest.mark.parametrize("arguments", [["generate", "--local", "Hi"], ["serve", "--port", "0"]])
def test_an_embedded_model_that_is_not_there(failed, monkeypatch, arguments):
    monkeypatch.setenv("NUPIC_SMOLLM2", "no-such-file.gguf")
    code, error = failed(*arguments)
    assert code == 3
    assert "no-such-file.gguf" in error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        ([fail("out of ideas")], 1, "out of ideas"),
        ([abort("RESOURCE_EXHAUSTED", "too busy")], 1, "too busy"),
        ([abort("UNAUTHENTICATED", "who are you")], 1, "who are you"),
        ([abort("UNAVAILABLE", "Socket closed")], 3, "Socket closed"),
    ],
)
def test_a_request_that_fails(failed, server, reply, code, words):
    server.reply = reply
    failure = failed("generate", "--url", server.url, "Hi")
    assert failure[0] == code
    assert words in failure[1]


def test_a_model_that_the_server_does_not_have(failed):
    with FakeTriton(models=[text_signature("other.streaming")]) as server:
        code, error = failed("generate", "--url", server.url, "Hi")
    assert code == 1
    assert "smollm2.streaming" in error


def test_a_time_limit(failed, server):
    server.reply = [silence()]
    code, error = failed("generate", "--url", server.url, "--timeout", "0.3", "Hi")
    assert code == 4
    assert "0.3 s" in error
    server.wait_for_cancellation()


class Faulty(io.StringIO):
    """A stdout that fails as no file does: whatever raises this is no mistake of the user."""

    def write(self, _text):
        raise RuntimeError("a bug")


def test_bugs_show_their_trace(main, monkeypatch, server):
    monkeypatch.setattr(sys, "stdout", Faulty())
    with pytest.raises(RuntimeError, match="a bug"):
        main("generate", "--url", server.url, "Hi")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("top_k must be 1", parameter="top_k"), "--top-k must be 1"),
        (ConfigurationError("top_k_x must be 1", parameter="top_k"), "--top-k: top_k_x must be 1"),
        (
            ConfigurationError("there is no such family", parameter="family"),
            "--formatter: there is no such family",
        ),
        (ConfigurationError("seed must be 1", parameter="seed"), "seed must be 1"),
        (ConfigurationError("prompt must be text", parameter="prompt"), "prompt must be text"),
        (ConfigurationError("the stop must be here"), "the stop must be here"),
        (
            ConfigurationError("leave it out", hint="or give it as system="),
            "leave it out, or give it as --system",
        ),
        (ConfigurationError("leave it out", hint="or give it as registry="), "leave it out"),
        (PromptError("Remove it", hint="or render verbatim with allow_control_tokens=True"), "Remove it"),
        (InferenceError("stop must be short"), "stop must be short"),
        (
            InferenceError("failed", model="gpt", attempts=(Attempt("host:1", "", 0.1),) * 2),
            "failed\n  model 'gpt', attempts 2",
        ),
    ],
)
def test_errors_speak_of_options(error, text):
    arguments = argparse.Namespace(prompt="Hi", stop=None, top_k=None, system=None, formatter="x")
    assert error_text(error, arguments) == text


def test_control_tokens_may_be_allowed_where_there_is_an_option():
    error = PromptError("Remove it", hint="or render verbatim with allow_control_tokens=True")
    arguments = argparse.Namespace(allow_control_tokens=False)
    assert error_text(error, arguments) == "Remove it, or render verbatim with --allow-control-tokens"


def commands():
    (action,) = (action for action in parser()._actions if isinstance(action.choices, dict))
    return action.choices


WRONG = {
    "--max-tokens": "0",
    "--temperature": "-1",
    "--top-p": "2",
    "--top-k": "-1",
    "--min-p": "2",
    "--stop": "",
    "--seed": "-1",
    "--repetition-penalty": "0",
    "--presence-penalty": "3",
    "--frequency-penalty": "3",
    "--timeout": "0",
    "--url": "nowhere",
    "--metadata": "Bad Name=1",
    "--formatter": "klingon",
    "--backend": "klingon",
    "--lora": "",
    "--tool-choice": "",
    "--family": "klingon",
    "--context-length": "0",
    "--wait": "-1",
    "--token-file": "two-lines",
    "--token-env": "TWO_LINES",
    "--ca-cert": "nothing",
    "--client-cert": "client.pem",
    "--client-key": "client.pem",
    "--host": "0.0.0.0",
    "--port": "65536",
    "--threads": "0",
    "--context": "0",
    "--max-request-bytes": "0",
    "--max-running": "0",
    "--max-waiting": "-1",
    "--tls-cert": "nothing",
    "--tls-key": "nothing",
    "--tls-client-ca": "nothing",
    "--messages": "no-messages",
    "--concurrency": "0",
    "--errors": "no-folder/errors",
    "--max-failures": "-1",
    "--limit": "0",
    "--grace": "-1",
    "--json-schema": "two-lines",
    "--enforce": "nobody",
    "--image": "no-such-file.png",
    "--reasoning": "whisper",
    "--tools": "no_such_module:f",
    "--request-rate": "0",
    "--request-distribution": "even",
    "--request-count": "0",
    "--measurement-interval": "0",
    "--warmup-request-count": "-1",
    "--input-file": "no-such-file.txt",
    "--synthetic-input-tokens-mean": "0",
    "--synthetic-input-tokens-stddev": "-1",
    "--output-tokens-mean": "0",
    "--output-tokens-stddev": "-1",
    "--random-seed": "-1",
    "--profile-export-file": "no-folder/bench.json",
    "--plot": "bench.txt",
    "--goodput": "speed:3",
}
"""A value that is refused, for every option whose values are checked before anything is sent."""
ANY_VALUE = {
    "--model",
    "--system",
    "--input",
    "--json-input",
    "--output",
    "--server-name",
    "--save",
    "--extra-inputs",
}
"""Options of which any value may be right."""
REQUIRED = {
    "generate": ["Hi"],
    "batch": ["-", "answers"],
    "embed": ["Hi"],
    "infer": ["--model", "gpt", "--input", "x=1"],
    "serve": ["--port", "0"],
    "--enforce": ["--json-schema", "schema.json"],
    "--tools": ["--yes-tools"],
    "--tool-choice": ["--yes-tools", "--tools", "json:dumps"],
    "--tls-cert": ["--tls-key", "client.pem"],
    "--tls-key": ["--tls-cert", "client.pem"],
    "--tls-client-ca": ["--tls-cert", "client.pem", "--tls-key", "client.pem"],
}


def checked_options():
    for command, its_parser in commands().items():
        for action in its_parser._actions:
            option = next((name for name in action.option_strings if name.startswith("--")), None)
            if option and action.nargs != 0 and option not in ANY_VALUE:
                yield command, option


@pytest.mark.parametrize(("command", "option"), list(checked_options()))
def test_an_error_about_the_value_of_an_option_begins_with_the_option(
    main, capsys, typed, monkeypatch, tmp_path, command, option
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWO_LINES", "one\ntwo")
    monkeypatch.setenv("NUPIC_SMOLLM2", "no-such-file.gguf")
    (tmp_path / "two-lines").write_text("one\ntwo")
    (tmp_path / "no-messages").write_text("[]")
    (tmp_path / "client.pem").write_text("PEM")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    monkeypatch.setattr(sys, "path", [*sys.path])
    typed(b'{"prompt": "Hi"}\n')
    asks = "--url" in commands()[command]._option_string_actions
    url = ["--url", "grpcs://localhost:1"] if asks and option != "--url" else []
    required = REQUIRED.get(option, []) + REQUIRED.get(command, [])
    arguments = [command, *url, *required, option, WRONG[option]]
    assert main(*arguments) == 2, capsys.readouterr().err
    # The one that is missing is named where two belong together.
    named = {"--client-cert": "--client-key", "--client-key": "--client-cert"}.get(option, option)
    assert re.match(rf"nupic-client: error: {named}\b", capsys.readouterr().err)


@pytest.mark.parametrize("command", commands())
def test_what_an_argument_is_called_is_an_option_of_the_command(command):
    """An option that gets another name must get it here, too."""
    its_parser = commands()[command]
    options = set(its_parser._option_string_actions)
    arguments = argparse.Namespace(**{action.dest: "x" for action in its_parser._actions})
    for parameter in {*vars(arguments), *error_rendering._NAMES}:
        named = option_of(parameter, arguments)
        assert not named or set(named.split(", ")) <= options


def test_advice_about_tls_names_options():
    arguments = argparse.Namespace(ca_cert=None, local=True)
    for advice in (*tls_advice._ADVICE.values(), tls_advice.BAD_FILES, connection_words._TLS_HINT):
        text = error_text(ConnectionFailedError(advice), arguments)
        assert "TLS(" not in text
        assert not [field.name for field in dataclasses.fields(TLS) if field.name in text]


def test_every_hint_of_the_library_is_for_a_program_or_names_an_option():
    """A command shows a hint if it has the option for the argument; the spelling of that must not change."""
    sources = [path.read_text("utf-8") for path in Path(nupic_client.__file__).parent.rglob("*.py")]
    calls = [node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    hints = {
        keyword.value.value
        for call in calls
        for keyword in call.keywords
        if keyword.arg == "hint" and isinstance(keyword.value, ast.Constant)
    }
    options = {action.dest for its_parser in commands().values() for action in its_parser._actions}
    everything = argparse.Namespace(**dict.fromkeys(options))
    shown = {hint for hint in hints if error_text(PromptError("x", hint=hint), everything) != "x"}
    assert len(shown) >= 4
    assert all("--" in error_text(PromptError("x", hint=hint), everything) for hint in shown)
    assert hints - shown == {
        "or set unsupported='warn' to go on without it",
        "or give a formatter that knows: formatter.with_answer('hermes') or another of ANSWER_FORMATS",
        "PromptFormatter.from_jinja and from_tokenizer_config make one of a model's own template",
    }


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("timeout must be a positive number of seconds or None for no limit, not 0", None),
        (
            "it is not known how 'x' takes text: give backend=, one of 'vllm', or an object of your own, see nupic_client.X",
            "it is not known how 'x' takes text: give --backend, one of 'vllm'",
        ),
        ("it must have one: choose one with output=", "it must have one: choose one with --output"),
        (
            "it must hold one text, not two: use infer(inputs)",
            "it must hold one text, not two: use nupic-client infer",
        ),
        (
            "there are none: give the client signature=ModelSignature(…), or use infer(inputs)",
            "there are none: use nupic-client infer",
        ),
        ("give tools=", "give --tools"),
        ("seed=5 and text='delta' stay", "seed=5 and text='delta' stay"),
    ],
)
def test_errors_do_not_speak_python(message, text):
    """U-A20."""
    arguments = argparse.Namespace(timeout=0, backend=None, output=None, tools=None, seed=None)
    expected = text or "timeout must be a positive number of seconds, not 0"
    assert error_text(ConfigurationError(message), arguments) == expected


def test_what_is_said_of_python_only_is_said_somewhere():
    """The texts that the command line words anew must not change without it."""
    sources = "".join(path.read_text("utf-8") for path in Path(nupic_client.__file__).parent.rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", sources)
    assert all(re.search(pattern, joined) for pattern in error_rendering._PROGRAM_WORDS)


@pytest.mark.slow
def test_the_librarys_own_errors_are_in_words_of_the_terminal(main, capsys, server):
    """U-A20: as they come from the library."""
    assert main("generate", "--url", server.url, "--timeout", "0", "Hi") == 2
    assert "None" not in capsys.readouterr().err
    assert main("embed", "--url", server.url, "--model", "gpt.streaming", "Hi") in {1, 2}
    assert "infer(" not in capsys.readouterr().err


def test_hints_have_the_value_of_an_option():
    error = ConfigurationError("It cannot", hint="or set enforce='validate' to have it checked")
    shown = error_text(error, argparse.Namespace(enforce=None))
    assert shown == "It cannot, or set --enforce validate to have it checked"
