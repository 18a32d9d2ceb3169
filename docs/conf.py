"""Sphinx configuration: Markdown, Google docstrings, broken references are errors."""

import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")

from nupic_client import __version__, _public

# Sphinx reads the order of members and the texts of attributes in the module that has them.
for package in map(importlib.import_module, _public.PACKAGES):
    for public_name in package.__all__:
        getattr(package, public_name)
for value, home in _public.HOMES.items():
    value.__module__ = home

# The options have an entry of their own, to which the signatures link.
from nupic_client._option_signatures import ORIGINALS  # noqa: E402

for function, signature in ORIGINALS.items():
    function.__signature__ = signature

project = "nupic_client"
author = "nupic_client contributors"
version = release = __version__
extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *("sphinx_copybutton", "sphinx_design", "sphinx_llms_txt"),
    *("docstring_links", "families_table", "notebook_pages"),
]
# The tables of the speed page are included by it.
exclude_patterns = ["_build", "explanation/speed"]
html_theme = "furo"
html_title = "nupic_client"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["nupic_client.css"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
copybutton_exclude = ".linenos, .gp, .go"
# For language models: `llms.txt` lists the pages, `llms-full.txt` has them whole.
llms_txt_title = "nupic_client"
llms_txt_summary = (
    "Python client that streams language models from NVIDIA Triton, Numenta's NuPIC Inference Server and other "
    "KServe v2 servers, token by token: callback, iterator and async iterator, over gRPC."
)
autodoc_typehints = "none"
autodoc_mock_imports = [
    "pyarrow",
    "ray",
    "opentelemetry",
    "langchain_core",
    "llama_index",
    "litellm",
    "httpx",
    "llm",
]
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
add_module_names = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = True
# An alias: the testing page shows it under its public name, RecordedRequest.
nitpick_ignore = [("py:class", "nupic_client.local.engine.EngineRequest")]
default_role = "literal"
