"""The corpus replayed, and a bounded run of every target. `python -m tests.fuzz` searches for more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from fuzz import corpus
from fuzz.inputs import inputs
from fuzz.targets import TARGETS

pytestmark = pytest.mark.slow

# These watch templates by an audit hook. It stays for the life of a process and is run by all of its threads, and with a
# hook in Python two threads that start at once under a tracer (coverage) can fail: so they have a process of their own.
WATCHING = {"chat_template", "tokenizer_config"}
ALONE = bool(os.environ.get("NUPIC_FUZZ_ALONE"))
HERE = [target for target in TARGETS if (target in WATCHING) == ALONE]
KEPT = [(target, path) for target in HERE for path in corpus.files(target)]
# Deterministic here, so that a failure is the fault of a change; other numbers every time with NUPIC_FUZZ_RANDOM=1.
RANDOM = bool(os.environ.get("NUPIC_FUZZ_RANDOM"))
EXAMPLES = {"chat_template": 100, "tokenizer_config": 60, "settings": 150}


@pytest.mark.parametrize(("target", "path"), KEPT, ids=[f"{target}-{path.name}" for target, path in KEPT])
def test_an_input_of_the_corpus(target, path):
    TARGETS[target](path.read_bytes())


@pytest.mark.parametrize("target", HERE)
def test_inputs_that_are_made_up(target):
    @settings(
        max_examples=EXAMPLES.get(target, 200),
        derandomize=not RANDOM,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.target, Phase.shrink],
    )
    @given(inputs(target))
    def run(data):
        TARGETS[target](data)

    run()


@pytest.mark.skipif(ALONE, reason="this is the process of its own")
def test_targets_with_a_process_of_their_own():
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command,
        env=environment | {"NUPIC_FUZZ_ALONE": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_a_small_corpus(target):
    sizes = [path.stat().st_size for path in corpus.files(target)]
    assert sizes
    assert sum(sizes) < 100_000


def test_every_folder_of_the_corpus_has_a_target():
    assert {folder.name for folder in corpus.FOLDER.iterdir()} == set(TARGETS)
