from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nupic_client


def loaded_after(code):
    """Return the modules that a fresh interpreter has loaded after running some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def bare():
    return loaded_after("import nupic_client; dir(nupic_client); nupic_client.__version__")


@pytest.mark.parametrize("heavy", ["grpc", "numpy", "tritonclient", "google.protobuf", "asyncio"])
def test_importing_the_package_does_not_load_what_takes_long(bare, heavy):
    assert heavy not in bare


def test_importing_the_package_loads_none_of_its_parts(bare):
    parts = {name for name in bare if name.startswith("nupic_client")}
    assert parts == {"nupic_client", "nupic_client._version"}


@pytest.fixture(scope="module")
def streaming():
    # Without what the interpreter itself comes with: coverage loads a lot.
    return loaded_after("import nupic_client.streaming") - loaded_after("")


@pytest.mark.parametrize(
    "heavy",
    ["numpy", "tritonclient.grpc", "jinja2", "xllamacpp", "uuid", "importlib.resources", "urllib.request"],
)
def test_the_streaming_client_does_not_load_what_it_does_not_need(streaming, heavy):
    assert heavy not in streaming


def test_the_client_of_a_server_and_its_shared_memory_wait_for_an_array_with_numpy():
    loaded = loaded_after("from nupic_client import ServerClient, SharedMemoryRegion, SharedMemoryTensor")
    assert "nupic_client.shared_memory" in loaded
    assert not {"numpy", "google.protobuf.json_format"} & loaded


@pytest.mark.parametrize(
    "light", ["errors", "messages", "sampling", "results", "config", "registry", "prompts"]
)
def test_values_need_no_grpc(light):
    loaded = loaded_after(f"import nupic_client.{light}")
    assert not {"grpc", "numpy", "google.protobuf", "asyncio"} & loaded


@pytest.mark.parametrize("options", ["GenerateOptions", "InferOptions"])
def test_the_hints_of_options_need_no_grpc(options):
    loaded = loaded_after(
        f"import typing, nupic_client; assert typing.get_type_hints(nupic_client.{options})"
    )
    assert "nupic_client.options" in loaded
    assert not {"grpc", "numpy", "google.protobuf", "asyncio"} & loaded


def test_what_runs_inside_triton_needs_no_other_package():
    """Its Python has numpy and the engine, see nupic_client/local/triton/requirements.txt."""
    model = Path(nupic_client.__file__).parent / "local" / "triton" / "python_model" / "model.py"
    imports = [line for line in model.read_text(encoding="utf-8").splitlines() if "nupic_client." in line]
    assert len(imports) > 3
    loaded = loaded_after("\n".join(imports)) - loaded_after("")
    assert not {"grpc", "google.protobuf", "tritonclient", "typing_extensions", "asyncio"} & loaded
