"""An integration without its extra says which one it needs, and nothing else loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = {
    "ray": ("ray", "pyarrow"),
    "langchain": ("langchain_core",),
    "litellm": ("litellm",),
    "llm": ("llm",),
    "llama_index": ("llama_index",),
    "opentelemetry": ("opentelemetry",),
    "jupyter": ("IPython",),
}
"""What each integration imports, of which any may be missing."""


@pytest.mark.parametrize(
    ("integration", "missing"), [(name, package) for name, needs in EXTRAS.items() for package in needs]
)
def test_an_integration_without_its_extra_names_it(integration, missing):
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"try: import nupic_client.integrations.{integration}\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"pip install 'nupic-client[{integration.replace('_', '-')}]'" in done.stdout


@pytest.mark.parametrize("integration", EXTRAS)
def test_the_package_does_not_load_an_integration(integration):
    program = "import sys, nupic_client.integrations, nupic_client.streaming, nupic_client.inference; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {f"nupic_client.integrations.{integration}", *EXTRAS[integration]} & {*done.stdout.split()}
