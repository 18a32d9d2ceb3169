"""A classifier of token ids."""

import os
import sys

sys.path.insert(0, os.environ["NUPIC_TEST_CODE"])

from encoders import BertClassifier as TritonPythonModel

__all__ = ["TritonPythonModel"]
