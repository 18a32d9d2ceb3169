"""How much of a download is there."""

import threading

import pytest

from nupic_client.local.engines.sizes import folder_size

pytestmark = pytest.mark.slow


def test_every_file_below_counts(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "d").write_bytes(b"67")
    assert folder_size(tmp_path) == 7
    assert folder_size(tmp_path / "not there") == 0


def test_what_disappears_meanwhile_is_no_error(tmp_path):
    """As pip does it: folders come and go while their size is asked for."""
    (tmp_path / "kept").write_bytes(b"kept")
    seen = threading.Event()
    rounds = 0

    def come_and_go():
        nonlocal rounds
        while not seen.is_set():
            (tmp_path / "tracker" / "deep").mkdir(parents=True)
            (tmp_path / "tracker" / "deep").rmdir()
            (tmp_path / "tracker").rmdir()
            rounds += 1

    pip = threading.Thread(target=come_and_go)
    pip.start()
    try:
        while rounds < 2000:
            assert folder_size(tmp_path) == 4
    finally:
        seen.set()
        pip.join()
