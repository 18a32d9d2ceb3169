"""The raw TensorRT-LLM engine: token ids in, token ids out."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from trtllm import Engine as TritonPythonModel

__all__ = ["TritonPythonModel"]
