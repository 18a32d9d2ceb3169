"""Sentence embeddings, in batches that the server makes."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from encoders import Sbert as TritonPythonModel

__all__ = ["TritonPythonModel"]
