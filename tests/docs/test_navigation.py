"""The site's list of pages names each page of docs/ once; `make docs` builds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2]
#: Made from files that lie elsewhere, by docs/pages.py.
MADE = {"index.md", "examples.md", "contributing.md", "changelog.md"}

pytestmark = pytest.mark.skipif(not (HERE / "mkdocs.yml").exists(), reason="no mkdocs.yml here")


def _entries(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
        return
    for entry in part:
        yield from _entries(list(entry.values())[0] if isinstance(entry, dict) else entry)


def test_every_page_is_in_the_navigation() -> None:
    """A page of docs/ that mkdocs.yml does not name, or names twice, is red."""
    yaml = pytest.importorskip("yaml")
    nav = yaml.safe_load((HERE / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = [entry for entry in _entries(nav) if not entry.endswith("/")]
    assert sorted(set(named)) == sorted(named)
    pages = {path.name for path in (HERE / "docs").glob("*.md")}
    assert set() == pages - set(named)
    folders = {path.name + "/" for path in (HERE / "docs").iterdir() if [*path.glob("*.md")]}
    assert folders - {"__pycache__/"} <= set(_entries(nav))
    assert MADE <= set(named)
