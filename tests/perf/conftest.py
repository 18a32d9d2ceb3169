from __future__ import annotations

from pathlib import Path

import pytest
from perf.program import PROGRAM

from nupic_client.local.triton.install import install


@pytest.fixture(scope="session")
def libraries(tmp_path_factory) -> Path:
    """Return a folder with the two libraries that the program needs, which the real server brings."""
    if not PROGRAM:
        pytest.skip("perf_analyzer is not here: nox -s perf brings it")
    folder: Path = tmp_path_factory.mktemp("libraries")
    places = [Path(place) for place in install().environment["LD_LIBRARY_PATH"].split(":")]
    for name, pattern in (("libb64.so.0d", "libb64-*.so.0d"), ("libcudart.so.12", "libcudart-*.so.12*")):
        (folder / name).symlink_to(next(found for place in places for found in place.glob(pattern)))
    return folder
