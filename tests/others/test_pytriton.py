"""pytriton as the server: a generator of numbers (I-M1), and a model that answers once."""

from __future__ import annotations

import asyncio
import os
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nupic_client import InferenceClient, InferenceError, InferenceResult
from others.processes import free_ports, need, served

need("pytriton")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
