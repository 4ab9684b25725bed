"""The pictures of the documents are there, load nothing, and can be made anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PICTURES = sorted((HERE / "docs" / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg: str) -> str:
    """What is written in a picture."""
    root = ET.fromstring(svg)  # noqa: S314 - a file of this project
    words = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    return "\n".join(words).replace("\xa0", " ")


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_whole_and_loads_nothing(path: Path) -> None:
    """A picture is SVG for light and dark, shows a command, and names no other place and no machine."""
    svg = path.read_text(encoding="utf-8")
    assert re.search(r"\$ sacred", _texts(svg))
    assert "prefers-color-scheme: dark" in svg
    assert [] == re.findall(
        r"(?:https?|file)://(?!www\.w3\.org/2000/svg)[^\s\"']*|@import|@font-face", svg
    )
    assert "/tmp/" not in svg


def test_every_picture_is_shown() -> None:
    """Each picture stands in the README or on a page, and each that stands there is there."""
    pages = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
    shown = {
        name
        for page in pages
        for name in re.findall(r"pictures/([\w-]+\.svg)", page.read_text(encoding="utf-8"))
    }
    assert {path.name for path in PICTURES} == shown


@pytest.mark.slow
def test_pictures_are_made_from_real_runs(tmp_path: Path) -> None:
    """``docs/pictures.py`` makes real runs of every fate and draws what the commands say of them."""
    done = subprocess.run(
        [sys.executable, str(HERE / "docs" / "pictures.py"), "--to", str(tmp_path), "ls"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
    )
    assert 0 == done.returncode, done.stderr
    seen = _texts((tmp_path / "ls.svg").read_text(encoding="utf-8"))
    for status in ("COMPLETED", "FAILED", "DIED", "RUNNING"):
        assert status in seen
