"""Certificates and tokens on the command line: of those who ask, and of those who serve."""

import json
import re
import signal
import sys

import grpc
import pytest
from cli.processes import cli_program, run_cli
from local.certificates import ROOTS, pair

from nupic_client.cli.program import parser
from nupic_client.local.engines.embedding import embedding_signature
from nupic_client.testing import FakeTriton, text_signature

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and addresses of POSIX")
SECRET = "s3cr3t-t0k3n"
NAMES = {"certificate_chain": "cert.pem", "private_key": "key.pem"}


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    """The files of a server, of a client and of an authority, in the current folder."""
    (tmp_path / "ca.pem").write_bytes(ROOTS)
    for owner, names in (("server", ["127.0.0.1"]), ("client", ["me@example.com"])):
        for name, pem in pair(*names).items():
            (tmp_path / f"{owner}-{NAMES[name]}").write_bytes(pem)
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUPIC_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def guarded(files):
    """A server that wants TLS, a certificate and a token."""
    mine = [(files / f"server-{name}").read_bytes() for name in ("key.pem", "cert.pem")]
    credentials = grpc.ssl_server_credentials([tuple(mine)], ROOTS, require_client_auth=True)
    models = [text_signature("smollm2.streaming"), embedding_signature("smollm2-embed", 2)]
    with FakeTriton(models=models, credentials=credentials, bearer_tokens={SECRET}) as server:
        yield server


COMMANDS = {
    "generate": ["generate", "--quiet", "Hi"],
    "chat": ["chat", "--quiet"],
    "models": ["models"],
    "health": ["health", "--model", "smollm2"],
    "infer": ["infer", "--model", "smollm2-embed", "--input", "text_input=hi"],
    "embed": ["embed", "hi"],
}
CERTIFICATES = ["--ca-cert", "ca.pem", "--client-cert", "client-cert.pem", "--client-key", "client-key.pem"]


def asking(command, server):
    """Return the arguments of a command that asks a server, with certificates."""
    name, *rest = COMMANDS[command]
    return [name, "--url", f"grpcs://{server.url}", *CERTIFICATES, *rest]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("where", ["file", "variable", "usual variable"])
def test_every_command_that_asks_is_let_in(main, capsys, typed, monkeypatch, guarded, command, where):
    typed(b"Hi\n")
    guarded.reply = lambda request: (
        [{"embedding": [1.0, 0.0]}] if request.model == "smollm2-embed" else ["Hello"]
    )
    monkeypatch.setenv("NUPIC_TOKEN" if where == "usual variable" else "MY_TOKEN", SECRET)
    token = {"file": ["--token-file", "token"], "variable": ["--token-env", "MY_TOKEN"]}.get(where, [])
    assert main(*asking(command, guarded), *token) == 0, capsys.readouterr().err
    assert {metadata["authorization"] for metadata in guarded.metadata} == {f"Bearer {SECRET}"}
    said = capsys.readouterr()
    assert said.out
    assert said.err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_without_the_token_nobody_is(main, capsys, typed, guarded, command):
    typed(b"Hi\n")
    assert main(*asking(command, guarded)) == 1
    assert "the token is missing or not valid" in capsys.readouterr().err


def test_a_wrong_token_is_not_shown(main, capsys, monkeypatch, guarded):
    monkeypatch.setenv("NUPIC_TOKEN", "wr0ng-t0k3n")
    assert main(*asking("models", guarded)) == 1
    assert "wr0ng" not in "".join(capsys.readouterr())


def test_the_name_in_the_certificate_may_be_given(main, capsys, guarded):
    url = guarded.url.replace("127.0.0.1", "localhost")
    options = ["models", "--url", f"grpcs://{url}", *CERTIFICATES, "--token-file", "token"]
    assert main(*options) == 3
    error = capsys.readouterr().err
    assert "use the name it was made for in the url, or give it as --server-name" in error
    assert "--local" not in error  # the server is there
    assert main(*options, "--server-name", "127.0.0.1") == 0


WRONG = {
    "no such file": (["--token-file", "nothing"], "--token-file: cannot read 'nothing': "),
    "empty file": (["--token-file", "empty"], "--token-file: 'empty' is empty"),
    "no text": (["--token-file", "binary"], "--token-file: 'binary' is not UTF-8 text"),
    "two lines": (["--token-file", "two"], "--token-file must be printable ASCII without blanks"),
    "no such variable": (
        ["--token-env", "NO_SUCH"],
        "--token-env: the variable NO_SUCH is not set, or empty",
    ),
    "plain text": (
        ["--url", "gpu:8001", "--token-file", "token"],
        "or --allow-insecure-token where the network",
    ),
    "no TLS": (
        ["--url", "localhost:1", "--ca-cert", "ca.pem"],
        "--url 'localhost:1' is not secure, but certificates",
    ),
    "no key": (["--client-cert", "client-cert.pem"], "--client-key is missing: mutual TLS needs"),
    "no authority": (["--ca-cert", "nothing"], "--ca-cert: cannot read 'nothing'"),
    "embedded": (
        ["--local", "--token-file", "token"],
        "--local does not go with --token-file: it needs none",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_anything_is_sent(main, capsys, files, arguments, words):
    (files / "empty").write_text("\n")
    (files / "binary").write_bytes(b"\xff\xfe")
    (files / "two").write_text(f"{SECRET}\n{SECRET}\n")
    url = [] if {"--url", "--local"} & {*arguments} else ["--url", "grpcs://localhost:1"]
    assert main("generate", *url, *arguments, "Hi") == 2
    error = capsys.readouterr().err
    assert words in error
    assert SECRET not in error


def test_the_usual_variable_is_named_where_its_token_must_not_go(main, capsys, monkeypatch):
    monkeypatch.setenv("NUPIC_TOKEN", SECRET)
    assert main("models", "--url", "gpu:8001") == 2
    error = capsys.readouterr().err
    assert "$NUPIC_TOKEN: the token would go to 'gpu:8001' in plain text" in error
    assert SECRET not in error


@posix
def test_a_token_may_go_over_a_network_that_protects_it(main, capsys, monkeypatch):
    monkeypatch.setenv("NUPIC_TOKEN", SECRET)
    url = "gpu.example.test:8001"  # a name that nobody has
    assert main("models", "--url", url) == 2
    assert "or --allow-insecure-token where the network protects it" in capsys.readouterr().err
    assert main("models", "--url", url, "--allow-insecure-token") == 3
    assert SECRET not in capsys.readouterr().err


def test_both_places_for_a_token_do_not_go_together(main, capsys):
    with pytest.raises(SystemExit):
        main("models", "--token-file", "token", "--token-env", "X")
    assert "must not be given with" in capsys.readouterr().err


def test_a_token_is_no_argument():
    """Every user of a machine sees the arguments of its programs."""
    (commands,) = (action for action in parser()._actions if isinstance(action.choices, dict))
    for command in commands.choices.values():
        assert "--token" not in command._option_string_actions


# --- serve

TLS = ["--tls-cert", "server-cert.pem", "--tls-key", "server-key.pem"]
WRONG_SERVING = {
    "no key": (["--tls-cert", "server-cert.pem"], "--tls-cert and --tls-key must be given together"),
    "no certificate": (
        ["--tls-client-ca", "ca.pem"],
        "--tls-client-ca must be given with --tls-cert and --tls-key",
    ),
    "no file": (
        ["--tls-cert", "nothing", "--tls-key", "server-key.pem"],
        "--tls-cert: cannot read 'nothing'",
    ),
    "no pair": (
        [*TLS[:3], "client-key.pem"],
        "--tls-cert, --tls-key cannot be used: check that the certificates",
    ),
    "no token": (["--token-file", "nothing"], "--token-file: cannot read 'nothing'"),
    "Triton's token": (["--triton", "--token-file", "token"], "Triton knows no tokens"),
    "Triton's limits": (["--triton", "--max-running", "1"], "--triton must not be given with limits"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG_SERVING.values(), ids=WRONG_SERVING)
def test_what_is_wrong_with_serving_is_said(main, capsys, arguments, words):
    assert main("serve", "--port", "0", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert SECRET not in error


@posix
@pytest.mark.model
def test_serving_with_tls_and_a_token_and_talking_to_it(files):
    options = ["--expose", *TLS, "--tls-client-ca", "ca.pem", "--token-file", "token"]
    with cli_program("serve", "--port", "0", *options, cwd=files) as program:
        said = program.stderr.wait_for("try: ")
        assert said.startswith("warning: this server is exposed: ")
        assert "with the token and a certificate of an authority that is trusted here; TLS is on\n" in said
        url = re.search(r"serving smollm2 at (grpcs://127\.0\.0\.1:\d+) ·", said)[1]
        program.stderr.wait_for("'Why is the sky blue?'\n")
        example = program.stderr.text.splitlines()[-1].removeprefix("try: nupic-client ")
        assert example == (
            f"generate --url {url} --ca-cert AUTHORITY.pem --client-cert YOURS.pem --client-key YOURS.key"
            " --token-file token 'Why is the sky blue?'"
        )
        let_in = ["--url", url, *CERTIFICATES, "--token-file", "token"]
        question = ["--temperature", "0", "--json", "What is the capital of France?"]
        answer = run_cli("generate", *let_in, *question, cwd=files)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "Paris" in json.loads(answer.stdout)["text"]
        vector = run_cli("embed", *let_in, "A cat.", cwd=files)
        assert len(json.loads(vector.stdout)) == 576
        no_token = run_cli("generate", *let_in[:-2], *question, cwd=files)
        assert no_token.returncode == 1
        assert "the token is missing or not valid" in no_token.stderr
        no_certificate = run_cli("health", "--url", url, "--ca-cert", "ca.pem", NUPIC_TOKEN=SECRET, cwd=files)
        assert no_certificate.returncode == 3
        assert "--client-cert and --client-key" in no_certificate.stderr
        code, _ = program.signal(signal.SIGINT)
        assert code == 0
        assert SECRET not in program.stderr.text
