"""The page of results: each table between its own marks, the text around them by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.tables import Table


def section(table: Table, date: str, facts: Mapping[str, str]) -> str:
    """Return a table with when and on what it was measured."""
    measured = "; ".join(f"{key}: {value}" for key, value in facts.items())
    rounds = "one round" if table.rounds == 1 else f"{table.rounds} rounds"
    return f"{table.markdown()}\n\n*Measured {date}, {rounds}; {measured}.*"


def update(page: str, name: str, content: str) -> str:
    """Return a page with what stands between the marks of ``name`` replaced.

    Marks are ``<!-- B3:begin -->`` and ``<!-- B3:end -->``; a page without them gets a new
    section at its end.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    block = f"{begin}\n\n{content}\n\n{end}"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: block, page, count=1)
    return f"{page.rstrip()}\n\n## {name}\n\n{block}\n" if page.strip() else f"{block}\n"
