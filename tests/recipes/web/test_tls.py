"""The page about TLS: its commands make the certificates, its code uses them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from needed import need
from pages import run_blocks
from recipes.servers import RECIPES

need("web")

import trustme

PAGE = RECIPES / "tls.md"


def by_openssl(folder: Path) -> None:
    (commands,) = re.findall(
        r"^```bash\n(# the authority\n.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    done = subprocess.run(
        ["sh", "-e"], input=commands, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def by_trustme(folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, identity in (("server", "localhost"), ("client", "chat.example.com")):
        certificate = authority.issue_cert(identity)
        certificate.private_key_pem.write_to_path(folder / f"{name}.key")
        certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")


# The system of a small image may lack the program.
@pytest.mark.parametrize("make", [by_openssl] if shutil.which("openssl") else [by_trustme])
def test_the_code_of_the_page(make, tmp_path, monkeypatch, capsys) -> None:
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    run_blocks(PAGE, "127.0.0.1:1")
    said = capsys.readouterr().out
    assert said.count("Hello\n") == 2
    assert (
        "an authority that is not trusted here: give the authority that signed it as TLS(root_certificates=…)"
        in said
    )
    assert "client certificate" in said
