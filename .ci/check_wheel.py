"""Use an installed wheel as a user would: nothing of the repository is on the path."""

import importlib.metadata
import subprocess
import sys
from importlib import resources
from pathlib import Path

import nupic_client
from nupic.client.inference_client import StreamingClient
from nupic.client.utils import get_prompt_formatter, model_naming_mapping
from nupic_client.testing import FakeTriton

assert importlib.metadata.version("nupic-client") == nupic_client.__version__
assert resources.files("nupic_client").joinpath("py.typed").is_file()
for name in nupic_client.__all__:
    getattr(nupic_client, name)
assert model_naming_mapping["smollm2"] == "smollm2.streaming"
with FakeTriton(["Hello", " world"]) as server, StreamingClient("gpt.streaming", url=server.url) as client:
    assert client.generate(get_prompt_formatter("chatml")("Hi")).text == "Hello world"
command = Path(sys.executable).with_name("nupic-client")
assert nupic_client.__version__ in subprocess.check_output([command, "--version"], text=True)
print("the wheel works")
