"""TensorRT-LLM's three steps in one Python model, which decodes all tokens so far each time."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from trtllm import Bls as TritonPythonModel

__all__ = ["TritonPythonModel"]
