"""The links of all Markdown files lead somewhere; Sphinx checks only those between its own pages."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("docs", "benchmarks", "tests", "examples")
FILES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
LINK = re.compile(r"(?<!!)\[[^\]\[]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^(`{3,}|:{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)


def pages() -> list[Path]:
    return [page for page in FILES if "_build" not in page.parts]


def prose(page: Path) -> str:
    """Return the text of a page without its code."""
    return re.sub(r"`[^`\n]+`", "code", CODE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """Return the names of the headings as GitHub and MyST make them."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    found = set()
    for heading in HEADING.findall(text):
        plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", heading).replace("`", "")
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-"))
    return found


def broken(page: Path, link: str) -> str | None:
    """Return the reason why a link leads nowhere."""
    parts = urlsplit(link)
    if parts.scheme:
        if parts.scheme not in {"http", "https", "mailto"} or (
            parts.scheme != "mailto" and "." not in parts.netloc
        ):
            return "no address"
        return None
    target = (page.parent / parts.path).resolve() if parts.path else page
    if not target.exists():
        return "no such file"
    if parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
        return "no such heading"
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    links = [first or second for first, second in LINK.findall(prose(page))]
    assert {link: reason for link in links if (reason := broken(page, link))} == {}


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("docs/index.md", None),
        ("docs/index.md#which-page", None),
        ("https://github.com/grpc/grpc", None),
        ("docs/nothing.md", "no such file"),
        ("docs/index.md#nothing", "no such heading"),
        ("https://nothing", "no address"),
    ],
)
def test_a_broken_link_is_found(link, reason):
    assert broken(ROOT / "README.md", link) == reason
