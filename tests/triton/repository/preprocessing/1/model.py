"""The first step of the ensemble: text to token ids."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from trtllm import Preprocessing as TritonPythonModel

__all__ = ["TritonPythonModel"]
