"""The page's own files: small, nothing inline, nothing from elsewhere, and the vendored library as it was published."""

import hashlib
import re
from pathlib import Path

import pytest

from console.app import STATIC
from console.words import words
from deploy.boards.language import Language

VENDOR = STATIC / "vendor" / "uplot"
PUBLISHED = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
OWN = sorted(path for path in STATIC.iterdir() if path.is_file())


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_chart_library_is_what_was_published(name: str) -> None:
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == PUBLISHED[name]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_no_file_is_inline_or_asks_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/)", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", text)


def test_the_page_is_small() -> None:
    """All that a first visit loads, before compression; a picture of the same size would be no large one."""
    assert sum(path.stat().st_size for path in [*OWN, *VENDOR.glob("uPlot*")]) < 130_000


def test_both_languages_have_every_word_and_the_page_uses_no_other() -> None:
    english, chinese = words(Language.ENGLISH), words(Language.CHINESE)
    assert english.keys() == chinese.keys()
    scripts = "".join(path.read_text(encoding="utf-8") for path in OWN if path.suffix == ".js")
    used = set(re.findall(r"\bwords\.(\w+)", scripts)) - {"find", "join", "length"}  # those of arrays
    assert used <= english.keys()
    assert english.keys() - used - {"minutes", "hours", "days"} == set()


def test_canvas_and_page_have_the_same_colours() -> None:
    sheet = (STATIC / "console.css").read_text(encoding="utf-8")
    tones = dict(re.findall(r"(\w+): \"(#\w{6})\"", (STATIC / "colours.js").read_text(encoding="utf-8")))
    for name in ("good", "warning", "bad", "muted"):
        assert f"--{name}: {tones[name]}" in sheet
    assert f"--text: {tones['plain']}" in sheet
