"""The same GPT, for whole answers."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from scripted import TritonPythonModel

__all__ = ["TritonPythonModel"]
