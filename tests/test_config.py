from __future__ import annotations

import asyncio
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nupic_client import (
    ConnectionFailedError,
    HttpInferenceClient,
    InferenceClient,
    ServerClient,
    StreamingClient,
    user,
)
from nupic_client.config import TLS, ClientConfig, check_metadata
from nupic_client.errors import ConfigurationError, ModelUnavailableError
from nupic_client.server_url import ServerUrl, parse_url
from nupic_client.testing import FakeTriton
from nupic_client.timeouts import DEFAULT_TOTAL_TIMEOUT, Timeouts

# Urls


def several(*targets, secure=False):
    """Return the url of a list."""
    servers = tuple(ServerUrl(target, secure) for target in targets)
    return ServerUrl(targets[0], secure, servers)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("localhost:8001", ServerUrl("localhost:8001")),
        ("  localhost:8001\n", ServerUrl("localhost:8001")),
        ("grpc://host:8001", ServerUrl("host:8001")),
        ("GRPC://host:8001/", ServerUrl("host:8001")),
        ("grpcs://host:443", ServerUrl("host:443", secure=True)),
        ("10.0.0.1:1", ServerUrl("10.0.0.1:1")),
        ("host:65535", ServerUrl("host:65535")),
        ("host:08001", ServerUrl("host:8001")),
        ("[::1]:8001", ServerUrl("[::1]:8001")),
        ("grpcs://[2001:db8::1]:443", ServerUrl("[2001:db8::1]:443", secure=True)),
        ("dns:///triton.svc:8001", ServerUrl("dns:///triton.svc:8001")),
        ("dns:triton.svc:8001", ServerUrl("dns:///triton.svc:8001")),
        ("unix:/run/triton.sock", ServerUrl("unix:/run/triton.sock")),
        ("unix:///run/triton.sock", ServerUrl("unix:/run/triton.sock")),
        ("unix:/run/a%20b.sock", ServerUrl("unix:/run/a b.sock")),
        ("unix:triton.sock", ServerUrl("unix:triton.sock")),
        (["host:1"], ServerUrl("host:1")),
        ("[fe80::1%eth0]:8001", ServerUrl("[fe80::1%eth0]:8001")),
        (["a:1", "a:1", "grpc://a:1"], ServerUrl("a:1")),
        (["a:1", "b:2"], several("a:1", "b:2")),
        (("a:1", "[::1]:2"), several("a:1", "[::1]:2")),
        ("a:1, b:2", several("a:1", "b:2")),
        (["a:1", "b:2,c:3", "a:1"], several("a:1", "b:2", "c:3")),
        (["grpcs://a:1", "grpcs://b:2"], several("a:1", "b:2", secure=True)),
        (["dns:///a:1", "b:2", "unix:/x"], several("dns:///a:1", "b:2", "unix:/x")),
    ],
)
def test_a_url_is_parsed(url, endpoint):
    assert parse_url(url) == endpoint


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        ":8001",
        "localhost",
        "localhost:",
        "host:0",
        "host:65536",
        "host:999999",
        "host:-1",
        "host:port",
        "host:\u0663\u0663",
        "host:80 01",
        "host name:8001",
        "::1:8001",
        "[::1]",
        "[host]:8001",
        "grpc://",
        "grpc://host",
        "grpc://host:8001/path",
        "grpc://user@host:8001",
        "host:8001?x=1",
        "dns:///host",
        "dns://8.8.8.8/host:1",
        "host:8001,",
        ",",
    ],
)
def test_a_url_of_another_form_is_an_error_that_names_the_forms(url):
    with pytest.raises(ConfigurationError, match="must be host:port, grpc://host:port"):
        parse_url(url)


def test_the_error_shows_the_url():
    with pytest.raises(ConfigurationError, match="'localhost'"):
        parse_url("localhost")


@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("http://gpt.example.com:8000", "gpt.example.com:8001"),
        ("https://gpt.example.com", "gpt.example.com:8001"),
        ("HTTP://gpt.example.com:8000/v2", "gpt.example.com:8001"),
        ("http://gpt.example.com/v2", "gpt.example.com:8001"),
        ("http://[::1]:8000", r"\[::1\]:8001"),
        ("http://", "host:8001"),
    ],
)
def test_an_http_url_is_an_error_that_says_the_grpc_address(url, instead):
    with pytest.raises(ConfigurationError, match=f"gRPC port .* as {instead}$"):
        parse_url(url)


@pytest.mark.parametrize("url", ["ftp://host:8001", "ipv4://host:8001", "://host:8001", "tcp://a:1"])
def test_another_scheme_is_an_error(url):
    with pytest.raises(ConfigurationError, match="must be host:port, grpc://host:port"):
        parse_url(url)


@pytest.mark.parametrize("url", ["unix:", "unix://"])
def test_a_unix_socket_needs_a_path(url):
    with pytest.raises(ConfigurationError, match="must have a path"):
        parse_url(url)


@pytest.mark.parametrize("url", [None, 5, b"host:1", [], {}, [5], [None, "a:1"], {"a:1"}, Path("host:1")])
def test_what_is_no_text_and_no_list_of_texts_is_an_error(url):
    with pytest.raises(ConfigurationError, match="must be a string or a non-empty list of strings"):
        parse_url(url)


def test_a_list_is_all_secure_or_not_at_all():
    with pytest.raises(ConfigurationError, match=r"must be all grpcs:// \(TLS\) or none of them"):
        parse_url(["grpc://a:1", "grpcs://b:2"])


@given(
    st.text()
    | st.lists(st.text(), max_size=3)
    | st.from_regex(r"(grpcs?://|dns:///|unix:|)[\w.\[\]:%]*(:\d+)?,?")
)
def test_any_text_is_an_endpoint_or_a_configuration_error(url):
    try:
        endpoint = parse_url(url)
    except ConfigurationError:
        return
    assert isinstance(endpoint.is_local, bool)
    assert str(endpoint)


@given(st.integers(1, 65535), st.sampled_from(["host", "10.0.0.1", "[::1]", "a-b.c_d"]))
def test_the_text_of_an_endpoint_is_a_url_of_it(port, host):
    endpoint = parse_url(f"{host}:{port}")
    assert parse_url(str(endpoint)) == endpoint


def test_the_text_of_a_list_is_a_url_of_it():
    endpoint = parse_url(["a:1", "[::1]:2"])
    assert str(endpoint) == "a:1, [::1]:2"
    assert parse_url(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("localhost:1", True),
        ("LOCALHOST:1", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("unix:/x", True),
        ("dns:///localhost:1", True),
        ("localhost.:1", True),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("[::ffff:127.0.0.1]:1", True),
        ("[::ffff:10.0.0.1]:1", False),
        (["localhost:1", "127.0.0.1:2"], True),
        ("10.0.0.1:1", False),
        ("example.com:1", False),
        ("dns:///example.com:1", False),
        ("localhost.example.com:1", False),
        (["localhost:1", "example.com:2"], False),
    ],
)
def test_an_endpoint_knows_whether_it_is_on_this_machine(url, local):
    assert parse_url(url).is_local is local


# TLS


def test_bytes_are_the_pem_text_itself():
    assert TLS(root_certificates=b"pem").pem("root_certificates") == b"pem"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read(kind, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_bytes(b"pem")
    assert TLS(root_certificates=kind(file)).pem("root_certificates") == b"pem"


def test_what_is_not_given_is_none():
    assert TLS().pem("root_certificates") is None


def test_a_file_that_cannot_be_read_is_an_error_that_names_it():
    with pytest.raises(
        ConfigurationError, match=r"tls.root_certificates: cannot read '/nowhere/ca.pem': No such file"
    ):
        TLS(root_certificates="/nowhere/ca.pem").pem("root_certificates")


@pytest.mark.parametrize("given", [{"private_key": b"key"}, {"certificate_chain": b"cert"}])
def test_mutual_tls_needs_both_halves(given):
    with pytest.raises(ConfigurationError, match="needs both"):
        TLS(**given)


# Timeouts


def test_the_default_is_ten_minutes():
    assert Timeouts().total == DEFAULT_TOTAL_TIMEOUT == 600.0


@pytest.mark.parametrize("value", [1, 0.5, None])
def test_a_timeout_is_a_positive_number_or_none(value):
    assert Timeouts.of(value).total == value


def test_timeouts_stay_as_they_are():
    given = Timeouts(total=3)
    assert Timeouts.of(given) is given


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, "5", [], 10**10, 10**400])
def test_another_timeout_is_an_error(value):
    with pytest.raises(ConfigurationError, match="timeout must be a positive number of seconds or None"):
        Timeouts.of(value)


# Metadata


@pytest.mark.parametrize(
    "metadata",
    [{}, {"authorization": "Bearer x y"}, {"x-1_a.b": ""}, {"trace-bin": b"\0\xff"}, {"trace-bin": b""}],
)
def test_good_metadata_is_taken_as_it_is(metadata):
    assert check_metadata(metadata) == metadata


def test_the_checked_metadata_is_a_copy():
    given = {"a": "1"}
    checked = check_metadata(given)
    given["a"] = "2"
    assert checked == {"a": "1"}


@pytest.mark.parametrize("name", ["", "Upper", "a b", "ä", "a:b", ":path", "grpc-timeout", "a\n", 5])
def test_a_name_that_grpc_refuses_is_an_error(name):
    with pytest.raises(ConfigurationError, match="metadata name"):
        check_metadata({name: "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("a", b"secret"), ("a", "secret\n"), ("a", "secretä"), ("a", 5), ("a-bin", "secret"), ("a-bin", 5)],
)
def test_a_value_that_grpc_refuses_is_an_error_that_does_not_show_it(name, value):
    with pytest.raises(ConfigurationError, match=f"metadata '{name}'") as caught:
        check_metadata({name: value})
    assert "secret" not in str(caught.value)


# The configuration


def test_without_a_url_it_is_the_default_port_of_this_machine():
    assert ClientConfig.create(environ={}).server == ServerUrl("localhost:8001")


def test_without_a_url_the_environment_says_it():
    assert ClientConfig.create(environ={"NUPIC_URL": "grpcs://host:1"}).server == ServerUrl(
        "host:1", secure=True
    )


def test_an_empty_variable_says_nothing():
    assert ClientConfig.create(environ={"NUPIC_URL": ""}).server == ServerUrl("localhost:8001")


def test_a_given_url_wins_over_the_environment():
    assert ClientConfig.create("a:1", environ={"NUPIC_URL": "b:2"}).server == ServerUrl("a:1")


def test_an_empty_url_is_an_error_and_not_the_default():
    with pytest.raises(ConfigurationError):
        ClientConfig.create("", environ={})


def test_tls_without_a_secure_url_is_an_error_that_says_the_url():
    with pytest.raises(ConfigurationError, match="use grpcs://host:1"):
        ClientConfig.create("host:1", environ={}, tls=TLS())


def test_channel_options_are_a_read_only_copy():
    given = {"grpc.a": 1}
    config = ClientConfig.create(environ={}, channel_options=given)
    given["grpc.a"] = 2
    assert config.channel_options == {"grpc.a": 1}


def test_the_repr_does_not_show_the_private_key():
    tls = TLS(certificate_chain=b"cert", private_key=b"secret")
    config = ClientConfig.create("grpcs://host:1", environ={}, tls=tls)
    assert "secret" not in repr(config)
    assert "secret" not in repr(tls)


def test_values_can_be_pickled():
    for value in (parse_url("a:1,b:2"), TLS(root_certificates=b"x"), Timeouts(total=1)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_a_list_in_a_list_loses_no_server():
    assert parse_url(["a:1,b:2", "c:3"]) == several("a:1", "b:2", "c:3")


# Found by fuzzing


@pytest.mark.parametrize("url", ["host\0:8001", "host\x1b:8001", "unix:/run/\0", "unix:/run/a%00b"])
def test_a_url_with_characters_that_no_name_has(url):
    with pytest.raises(ConfigurationError, match="must have"):
        parse_url(url)


def test_a_socket_path_with_two_slashes_is_a_path_and_no_host():
    assert parse_url("unix:////run/triton.sock").target == "unix:/run/triton.sock"


@pytest.mark.parametrize("name", ["root_certificates", "target_name"])
def test_tls_of_another_kind_is_refused_at_once(name):
    with pytest.raises(ConfigurationError, match=rf"tls\.{name} must be"):
        TLS(**{name: 3})


def test_a_certificate_path_with_a_null_character():
    with pytest.raises(ConfigurationError, match="cannot read"):
        TLS(root_certificates="a\0b").pem("root_certificates")


@pytest.mark.parametrize("options", [["grpc.x"], {"grpc.x": None}, {1: 2}, "grpc.x"])
def test_channel_options_that_are_none(options):
    with pytest.raises(ConfigurationError, match="channel_options"):
        ClientConfig.create("a:1", environ={}, channel_options=options)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost", "localhost:8001"),
        ("gpu-7:", "gpu-7:8001"),
        ("grpcs://gpt.example.com/", "grpcs://gpt.example.com:8001"),
        ("dns:///gpu", "dns:///gpu:8001"),
        ("[::1]", "[::1]:8001"),
        (["a:1", "b"], "b:8001"),
    ],
)
def test_a_missing_port_is_named(url, meant):
    """U-A22."""
    with pytest.raises(ConfigurationError, match=rf": the port is missing: {re.escape(meant)}\?$"):
        parse_url(url)


@pytest.mark.parametrize("url", ["host:99999", "a b", "/path", "user@host", "host:80 01", ""])
def test_no_port_is_missing_where_something_else_is_wrong(url):
    with pytest.raises(ConfigurationError) as caught:
        parse_url(url)
    assert "missing" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://h:8001", "grpcs://h:8001"),
        ("https://h", "grpcs://h:8001"),
        ("HTTPS://[::1]:9443/v2", "grpcs://[::1]:9443"),
    ],
)
def test_an_https_url_is_an_error_that_says_the_grpcs_url(url, secure):
    """U-A22."""
    with pytest.raises(ConfigurationError, match=f"with TLS as {re.escape(secure)}, without as "):
        parse_url(url)


@pytest.mark.parametrize("make", [StreamingClient, InferenceClient, HttpInferenceClient])
def test_a_client_without_a_model_is_named_as_the_caller_knows_it(make):
    """U-A12."""
    with pytest.raises(TypeError, match=rf"^{make.__name__}.__init__\(\) missing 1 required .* 'model'"):
        make()


@pytest.mark.parametrize("tls", [True, False, "ca.pem", b"key", {"target_name": "x"}])
@pytest.mark.parametrize(
    "make",
    [
        StreamingClient,
        InferenceClient,
        HttpInferenceClient,
        lambda _model, url, **more: ServerClient(url, **more),
    ],
)
def test_tls_of_another_type_is_refused(make, tls):
    """U-A22."""
    for url in ("127.0.0.1:1", "grpcs://127.0.0.1:1"):
        with pytest.raises(
            ConfigurationError,
            match=r"^tls must be a TLS object, not (True: a url with|False|str|bytes|dict)",
        ):
            make("m", "127.0.0.1:1" if make is HttpInferenceClient else url, tls=tls)


@pytest.mark.parametrize(
    ("name", "near"),
    [("smolm2", "'smollm2'"), ("smollm-2", "'smollm2'"), ("smollm2.streamin", "smollm2.streaming")],
)
def test_a_typo_in_the_name_of_a_model_is_named(name, near):
    """U-A6: before the question how conversations are written."""
    with (
        StreamingClient(name, url="127.0.0.1:1") as client,
        pytest.raises(ConfigurationError, match="did you mean ") as caught,
    ):
        client.generate([user("hi")])
    assert near in caught.value.message


def test_a_traceback_ends_where_the_caller_called():
    """U-A10: frames of this package and of gRPC say nothing to a caller."""

    def named():
        raise ConfigurationError("no token today")

    with ServerClient("127.0.0.1:1") as client:
        for call in (client.metadata, lambda: asyncio.run(client.ametadata())):
            with pytest.raises(ConnectionFailedError) as caught:
                call()
            files = [frame.path for frame in caught.traceback if "nupic_client" in str(frame.path)]
            assert len(files) <= 2
            assert caught.value.__cause__ is None
    with FakeTriton(["Hi"]) as server, ServerClient(server.url) as client:
        for call in (lambda: client.signature("absent"), lambda: asyncio.run(client.asignature("absent"))):
            with pytest.raises(ModelUnavailableError) as caught:
                call()
            assert len([frame for frame in caught.traceback if "nupic_client" in str(frame.path)]) <= 2
            assert caught.value.__cause__.__traceback__ is None
    with StreamingClient("m", "127.0.0.1:1") as client:
        for options in ({"headers": {}}, {"max_tokens": "5"}, {"backend_inputs": 3}):
            with pytest.raises((TypeError, ConfigurationError)) as caught:
                client.generate("Hi", **options)
            names = [frame.name for frame in caught.traceback if "nupic_client" in str(frame.path)]
            assert names == ["generate", "_stream", "_request"]
    with ServerClient("grpcs://127.0.0.1:1", bearer_token=named) as client:
        with pytest.raises(ConfigurationError, match="no token") as caught:
            client.metadata()
        assert caught.traceback[-1].name == "named"
