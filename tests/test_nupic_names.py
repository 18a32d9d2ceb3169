"""Scripts written for NuPIC run as they stand."""

import re
import sys
from pathlib import Path

import pytest
from cli.processes import cli_program, run

import nupic_client
from nupic.client import inference_client, utils

ROOT = Path(__file__).parents[1]

SCRIPT = """\
import argparse

from nupic.client.inference_client import StreamingClient
from nupic.client.utils import get_prompt_formatter, model_naming_mapping


def callback(text):
    print(text, end="", flush=True)


parser = argparse.ArgumentParser()
parser.add_argument("--model", default="smollm2")
args = parser.parse_args()

model_name = model_naming_mapping[args.model]
prompt_formatter = get_prompt_formatter(model_name)
prompt = prompt_formatter("What is the capital of France?", system="You are a helpful assistant.")

client = StreamingClient(model_name, url="localhost:8001")
client.generate(prompt, callback=callback)
"""


def test_the_names_are_those_of_the_client():
    assert inference_client.StreamingClient is nupic_client.StreamingClient
    assert utils.get_prompt_formatter is nupic_client.get_prompt_formatter
    assert utils.model_naming_mapping is nupic_client.model_naming_mapping


@pytest.mark.model
def test_a_nupic_script_runs_unchanged(tmp_path):
    script = tmp_path / "streaming.py"
    with cli_program("serve", "--port", "0") as server:
        url = re.search(r"at (\S+) ·", server.stderr.wait_for("try: "))[1]
        script.write_text(SCRIPT.replace("localhost:8001", url))
        finished = run([sys.executable, str(script)], cwd=tmp_path)
    assert finished.stdout.strip()
    assert (finished.stderr, finished.returncode) == ("", 0)


def test_a_folder_of_that_name_beside_a_script_does_not_hide_them(tmp_path):
    (tmp_path / "nupic" / "inference" / "models").mkdir(parents=True)
    script = tmp_path / "script.py"
    script.write_text(
        "from nupic.client.inference_client import StreamingClient\nprint(StreamingClient.__name__)\n"
    )
    assert run([sys.executable, str(script)], cwd=tmp_path).stdout == "StreamingClient\n"


def test_a_distribution_that_owns_the_name_comes_first(tmp_path):
    theirs = tmp_path / "site" / "nupic" / "client"
    theirs.mkdir(parents=True)
    (theirs.parent / "__init__.py").touch()
    (theirs / "__init__.py").touch()
    (theirs / "inference_client.py").write_text("StreamingClient = 'theirs'\n")
    program = "from nupic.client.inference_client import StreamingClient; print(StreamingClient)"
    finished = run([sys.executable, "-c", program], cwd=tmp_path, PYTHONPATH=f"{ROOT}:{tmp_path / 'site'}")
    assert finished.stdout == "theirs\n"
