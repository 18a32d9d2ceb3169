"""pytriton as the server: a generator of numbers (I-M1), and a model that answers once."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pages import ROOT, run_blocks

from nupic_client import InferenceClient, InferenceError, InferenceResult
from others.processes import free_ports, need, served

need("pytriton")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = ROOT / "docs/recipes/migrate-from-pytriton.md"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # The models run in the python3 that is first on the path, with a libpython of the same version.
    folders = {"PATH": Path(sys.executable).parent, "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR")}
    environment = {name: f"{folder}:{os.environ.get(name, '')}" for name, folder in folders.items()}
    ports = free_ports(3)
    program = str(Path(__file__).with_name("pytriton_server.py"))
    command = [sys.executable, program, *map(str, ports)]
    folder = tmp_path_factory.mktemp("pytriton")
    with served(command, ports[0], folder, "squares", environment) as url:
        yield url


WAYS: dict[str, Callable[[InferenceClient, int], list[InferenceResult]]] = {
    "infer_stream": lambda client, count: client.infer_stream([count]).results(),
    "ainfer_stream": lambda client, count: asyncio.run(client.ainfer_stream([count]).results()),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_generator_of_numbers_is_read(url: str, way: str) -> None:
    with InferenceClient("squares", url, timeout=20) as client:
        results = WAYS[way](client, 4)
    assert [result["square"].tolist() for result in results] == [[0], [1], [4], [9]]
    assert [result["root"].dtype for result in results] == [np.dtype(np.float32)] * 4


@pytest.mark.parametrize("way", WAYS)
def test_a_generator_may_give_nothing(url: str, way: str) -> None:
    with InferenceClient("squares", url, timeout=20) as client:
        assert WAYS[way](client, 0) == []


@pytest.mark.parametrize("way", WAYS)
def test_an_error_in_the_middle_is_typed_and_what_came_before_is_there(url: str, way: str) -> None:
    with InferenceClient("squares", url, timeout=20) as client:
        with pytest.raises(InferenceError, match="five is too much") as caught:
            WAYS[way](client, 9)
    assert [result["square"].tolist() for result in caught.value.partial_results] == [
        [0],
        [1],
        [4],
        [9],
        [16],
    ]


def test_a_stream_that_is_left_leaves_the_model_free(url: str) -> None:
    with InferenceClient("squares", url, timeout=20) as client:
        with client.infer_stream([5]) as stream:
            assert next(stream)["square"].tolist() == [0]
        assert len(client.infer_stream([3]).results()) == 3


def test_a_model_that_answers_once_can_be_called_both_ways(url: str) -> None:
    with InferenceClient("double", url, timeout=20) as client:
        assert client.infer([[1.5, 2.0]])["y"].tolist() == [[3.0, 4.0]]
        assert [result["y"].tolist() for result in client.infer_stream([[7]])] == [[[14.0]]]


@pytest.mark.filterwarnings("ignore:tritonclient.grpc doesn't support timeout")
def test_the_page_for_those_who_come_from_its_clients(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks(PAGE, url)
    assert "float32" in capsys.readouterr().out


def test_the_names_of_its_table_exist() -> None:
    client = pytest.importorskip("pytriton.client")
    theirs = " ".join(re.findall(r"^\| (`.*?) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    classes = re.findall(r"`(\w*ModelClient)\b", theirs)
    errors = re.findall(r"`(PyTritonClient\w+)`", theirs)
    assert {*classes} == {name for name in dir(client) if name.endswith("ModelClient")}
    assert len(errors) >= 5
    assert all(hasattr(client.exceptions, name) for name in errors)
    options = inspect.signature(client.ModelClient).parameters
    members = {*re.findall(r"`(\w+)(?:\(\))?`", theirs)} - {*classes, *errors, "nupic_client"}
    assert all(
        name in options or hasattr(client.FuturesModelClient, name) or hasattr(client.ModelClient, name)
        for name in members
    ), members
