"""Compare the list of facts with the tests and the page of differences: ``python -m tests.facts [--write]``."""

from __future__ import annotations

import argparse
import sys

from tests.facts.facts import PAGE, state


def main() -> int:
    """Print what is missing; return 1 if anything is, or if the page is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.facts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/behaviour.md")
    options = parser.parse_args()
    now = state()
    wrong = now.problems
    if options.write:
        PAGE.write_text(now.page, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != now.page:
        wrong.append("docs/behaviour.md is not up to date: python -m tests.facts --write")
    for sentence in wrong:
        print(sentence)
    print(f"{len(now.facts)} facts, {len(now.differing)} of them differ, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
