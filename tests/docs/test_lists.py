"""The lists of the pages say each thing once: what a merge wrote twice is red."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PAGES = sorted((HERE / "docs").glob("*.md")) + [HERE / "README.md", HERE / "CHANGELOG.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_two_points_of_a_section_begin_alike(page: Path) -> None:
    """Two points of one section with the same title, or the same first forty characters."""
    for section in re.split(r"^#+ ", page.read_text(encoding="utf-8"), flags=re.M):
        points = re.findall(r"^\* (\*\*.+?\*\*|.{40})", section, flags=re.M)
        twice = [begin for begin, times in Counter(points).items() if times > 1]
        assert [] == twice, section.split("\n", 1)[0]
