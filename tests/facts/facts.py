"""The list of facts, the tests that name one, and the page that lists what differs."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).parent.parent
PROJECT = TESTS.parent
LIST = Path(__file__).with_name("facts.txt")
DIFFERENCES = PROJECT / "docs" / "differences.md"
PAGE = PROJECT / "docs" / "behaviour.md"

_LINE = re.compile(r"(?P<id>[A-Z][A-Z0-9]+-\d\d) (?P<text>\S.*)")


@dataclasses.dataclass(frozen=True)
class Fact:
    """One thing that Sacred 0.8.7 does: its id, in one sentence, under the title of its section."""

    id: str
    text: str
    section: str


class BadList(ValueError):
    """A line of the list is neither a title nor a fact, or an id stands there twice."""


def read(text: str) -> list[Fact]:
    """Return the facts of a list in its order; raise `BadList` with the line's number."""
    facts: dict[str, Fact] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            section = line[3:]
        elif match := _LINE.fullmatch(line):
            if match["id"] in facts:
                raise BadList(f"line {number}: {match['id']} stands there twice")
            facts[match["id"]] = Fact(match["id"], match["text"], section)
        elif line.strip() and not line.startswith("# "):
            raise BadList(f"line {number}: neither a title nor a fact: {line}")
    return list(facts.values())


def _docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (path::test, docstring) of the test functions below a folder."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                yield (
                    f"{path.relative_to(folder).as_posix()}::{node.name}",
                    ast.get_docstring(node) or "",
                )


def ids_in(text: str, prefixes: frozenset[str]) -> list[str]:
    """Return the ids of facts in a text, also those that are not in the list."""
    found = re.findall(r"\b([A-Z][A-Z0-9]+)-(\d\d)\b", text)
    return [f"{prefix}-{number}" for prefix, number in found if prefix in prefixes]


def named_by_tests(folder: Path, prefixes: frozenset[str]) -> dict[str, list[str]]:
    """Return the tests whose docstrings name an id, by id."""
    named: dict[str, list[str]] = {}
    for test, docstring in _docstrings(folder):
        for fact in dict.fromkeys(ids_in(docstring, prefixes)):
            named.setdefault(fact, []).append(test)
    return named


def problems(
    facts: list[Fact], tests: Mapping[str, list[str]], differing: frozenset[str]
) -> list[str]:
    """Return what is wrong: facts that nobody shows, and names of facts that are not in the list."""
    known = {fact.id for fact in facts}
    missing = [
        f"{fact.id} is named by no test and is not in docs/differences.md: {fact.text}"
        for fact in facts
        if fact.id not in tests and fact.id not in differing
    ]
    unknown = [
        f"{fact} is not in the list, {tests[fact][0]} names it"
        for fact in sorted(tests)
        if fact not in known
    ]
    strange = [
        f"{fact} is not in the list, docs/differences.md names it"
        for fact in sorted(differing - known)
    ]
    return missing + unknown + strange


def page(facts: list[Fact], tests: Mapping[str, list[str]], differing: frozenset[str]) -> str:
    """Return docs/behaviour.md: a table for each section."""
    lines = [
        "# What Sacred does, and this project too",
        "",
        "Each row is a fact about Sacred 0.8.7, with an id by which tests and pages name it. **same** means that tests show the same here;",
        "**differs** that [differences](differences.md) says what is done instead, and why. Made by `python -m tests.facts --write`.",
    ]
    section = ""
    for fact in facts:
        if fact.section != section:
            section = fact.section
            lines += [
                "",
                f"## {section}",
                "",
                "| id | Sacred 0.8.7 | here | shown by |",
                "|---|---|---|---|",
            ]
        here = "[differs](differences.md)" if fact.id in differing else "same"
        shown = tests.get(fact.id, [])
        more = f" and {len(shown) - 1} more" if len(shown) > 1 else ""
        by = f"`{shown[0].rpartition('::')[2]}`{more}" if shown else ""
        lines.append(f"| {fact.id} | {fact.text.replace('|', chr(92) + '|')} | {here} | {by} |")
    return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True)
class State:
    """All three sides of the comparison, as they are in this checkout."""

    facts: list[Fact]
    tests: dict[str, list[str]]
    differing: frozenset[str]

    @property
    def problems(self) -> list[str]:
        """What is wrong, one sentence each; empty when all holds."""
        return problems(self.facts, self.tests, self.differing)

    @property
    def page(self) -> str:
        """What docs/behaviour.md should be."""
        return page(self.facts, self.tests, self.differing)


def state() -> State:
    """Read the list, the tests and the page of differences."""
    facts = read(LIST.read_text(encoding="utf-8"))
    prefixes = frozenset(fact.id.partition("-")[0] for fact in facts)
    differing = frozenset(ids_in(DIFFERENCES.read_text(encoding="utf-8"), prefixes))
    return State(facts, named_by_tests(TESTS, prefixes), differing)
