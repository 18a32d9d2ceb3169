"""Answers in notebooks: `show` streams one into a single output, and ``%%nupic`` makes a cell a prompt.

They need the extra ``jupyter``: ``pip install 'nupic-client[jupyter]'``. Any front end of IPython will do: JupyterLab,
Notebook, VS Code, Colab, and IPython in a terminal.
"""

from __future__ import annotations

try:
    import IPython  # noqa: F401 - the modules below need it
except ImportError as error:
    raise ImportError(
        "nupic_client.integrations.jupyter needs the package ipython: pip install 'nupic-client[jupyter]'"
    ) from error

from nupic_client.integrations.jupyter.magics import (
    NupicMagics,
    load_ipython_extension,
    unload_ipython_extension,
)
from nupic_client.integrations.jupyter.showing import ashow, show

__all__ = ["NupicMagics", "ashow", "load_ipython_extension", "show", "unload_ipython_extension"]
