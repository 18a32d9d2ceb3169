"""TensorRT-LLM's LLM-API model, set up to stream."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from trtllm import LlmApi as TritonPythonModel

__all__ = ["TritonPythonModel"]
