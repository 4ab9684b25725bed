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
SCRIPT = HERE / "docs" / "pictures.py"
SVG = "{http://www.w3.org/2000/svg}"


def _texts(svg: str) -> str:
    """What is written in a picture."""
    root = ET.fromstring(svg)  # noqa: S314 - a file of this project
    words = ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]
    return "\n".join(words).replace("\xa0", " ")


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_whole_and_loads_nothing(path: Path) -> None:
    """A picture is an SVG that shows a command, loads nothing, and names no machine and no user."""
    svg = path.read_text(encoding="utf-8")
    assert re.search(r"\$ sacred", _texts(svg))
    assert [] == re.findall(
        r"(?:https?|file)://(?!www\.w3\.org/2000/svg)[^\s\"']*|@import|@font-face", svg
    )
    assert "url(" not in svg
    assert [] == re.findall(r"/(?:tmp|work|root|home/(?!you/))[^\s<]*", svg.replace("&#160;", " "))
    assert {"desk"} >= set(re.findall(r"host +(\S+)", _texts(svg)))
    assert path.stat().st_size < 20_000


def test_every_picture_is_there_in_both_lights() -> None:
    """Each picture that the script makes is there for light and for dark, and no other."""
    names = re.findall(
        r'^    Picture\(\s*"([\w-]+)"', SCRIPT.read_text(encoding="utf-8"), re.MULTILINE
    )
    both = sorted(f"{name}{dark}.svg" for name in names for dark in ("", "-dark"))
    assert both == sorted(path.name for path in PICTURES)


def test_every_picture_is_shown() -> None:
    """Each picture stands in the README or on a page, and each that stands there is there."""
    pages = [HERE / "README.md", *sorted((HERE / "docs").rglob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        sources = re.findall(
            r'srcset="([^"]+)-dark\.svg">\n<img alt="[^"]+" src="([^"]+)\.svg"', text
        )
        assert len(sources) == text.count("<picture>")
        assert all(
            dark == light and (page.parent / f"{light}.svg").is_file() for dark, light in sources
        )
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
