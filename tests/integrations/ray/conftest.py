from __future__ import annotations

import gc
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a node that only listens on the loopback address
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # else it writes one into the home folder
}
if os.environ.get("NUPIC_INTEGRATION") == "ray":
    os.environ.update(SETTINGS)  # some are read when it is imported


@pytest.fixture(scope="session")
def ray() -> Iterator[Any]:
    """Ray on this machine alone; at the end nothing of it is left."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    before = {*psutil.Process().children(recursive=True)}
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a path of pytest's is too long for its sockets
    try:
        ray.init(
            num_cpus=4,  # of plans only; the page says how many a job needs that goes on from its checkpoint
            include_dashboard=False,
            object_store_memory=200_000_000,
            _temp_dir=folder,
            log_to_driver=False,
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        check_loopback(before)
        yield ray
    finally:
        started = {*psutil.Process().children(recursive=True)} - before
        ray.shutdown()
        _, alive = psutil.wait_procs(started, timeout=60)
        for process in alive:
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()  # it does not wait for its processes
    assert not alive
    assert not Path(folder).exists()


def check_loopback(before: set[psutil.Process]) -> None:
    """Check that nobody else on the network reaches what was started."""
    hosts = set()
    for process in {*psutil.Process().children(recursive=True)} - before:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                hosts.add(connection.laddr.ip.removeprefix("::ffff:"))
    assert hosts == {"127.0.0.1"}
