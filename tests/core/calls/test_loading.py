"""Loading of models with files; what is asked without them is in `test_server`."""

from __future__ import annotations

import pytest

from nupic_client import ConfigurationError
from nupic_client._core.calls import loading
from nupic_client._core.calls.loading import check_file_name, load_model

CONFIG = {"backend": "python"}


def request_of(files, config=CONFIG):
    return next(load_model("gpt", config, files, timeout=5.0, metadata=())).request


def test_files_are_sent_as_triton_names_them():
    sent = request_of({"1/model.py": b"code", "labels.txt": b""}).parameters
    assert set(sent) == {"config", "file:1/model.py", "file:labels.txt"}
    assert sent["file:1/model.py"].bytes_param == b"code"
    assert sent["file:labels.txt"].WhichOneof("parameter_choice") == "bytes_param"


def test_no_files_need_no_configuration():
    assert not request_of({}, None).parameters


def test_files_without_a_configuration_are_refused():
    with pytest.raises(ConfigurationError, match="config must be given with files") as caught:
        request_of({"1/model.py": b""}, None)
    assert caught.value.parameter == "config"


@pytest.mark.parametrize("name", ["model.py", "folder/1/model.py", "one/model.py", "1"])
def test_files_must_have_a_version(name):
    """Triton: at least one version must be available."""
    with pytest.raises(ConfigurationError, match="in the folder of a version"):
        request_of({name: b""})


def test_files_that_are_too_large_for_a_message_are_refused(monkeypatch):
    monkeypatch.setattr(loading, "_MOST", 10)
    request_of({"1/a": b"12345", "1/b": b"12345"})
    with pytest.raises(ConfigurationError, match=r"at most 10 bytes together.*not 11"):
        request_of({"1/a": b"12345", "1/b": b"123456"})


@pytest.mark.parametrize("name", ["1/model.onnx", "labels.txt", "1/a b/c", "1/ä"])
def test_names_of_files(name):
    assert check_file_name(name) == check_file_name(f"file:{name}") == name


@pytest.mark.parametrize(
    "name", ["", "file:", "/1/model", "../1/model", "1/../x", "1//x", "1/", "1\\x", "./1/x", "1/\0", 5, None]
)
def test_names_of_no_files(name):
    with pytest.raises(ConfigurationError, match="files must"):
        check_file_name(name)


def test_a_name_that_ends_triton_is_refused():
    """I-N6: 2.51 dies of it."""
    assert check_file_name("1/" + "x" * 255)
    with pytest.raises(ConfigurationError, match="at most 255 bytes"):
        check_file_name("1/" + "ä" * 128)
