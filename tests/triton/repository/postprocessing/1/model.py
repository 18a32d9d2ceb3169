"""The last step of the ensemble: token ids to text."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from trtllm import Postprocessing as TritonPythonModel

__all__ = ["TritonPythonModel"]
