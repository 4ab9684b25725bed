"""Measure the budgets: ``python benchmarks/run.py [--quick] [--only B3] [--write PAGE]``."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __name__ == "__main__":
    # Started by its path: its own folder on the path would hide modules of the same name.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import (
    bulk,
    environments,
    following,
    imports,
    latencies,
    losses,
    machine,
    questions,
    reading,
    report,
    sizes,
    startup,
    views,
)
from benchmarks.laboratory import FULL, QUICK, Laboratory

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.tables import Table

BUDGETS: dict[str, Callable[[Laboratory], Table]] = {
    "B1": imports.measure,
    "B2": startup.measure,
    "B3": latencies.measure,
    "B4": bulk.measure,
    "B5": sizes.measure,
    "B6": losses.measure,
    "B7": reading.measure,
    "B8": questions.measure,
    "B-follow": following.measure,
    "B9": views.measure,
}
_WHAT = (
    "Measure the budgets of docs/benchmarks.md beside Sacred 0.8.7 and tensorboardX. A budget that "
    "does not hold is reported, and is no failure."
)
_PAGE = "# Benchmarks\n"


def main(words: list[str] | None = None) -> int:
    """Measure the budgets beside Sacred and tensorboardX, print and write the tables.

    A budget that does not hold is reported and is no failure.

    Returns
    -------
    0, or 1 where nothing could be measured. Wrong options end the process with exit status 2.
    """
    options = _parse(words)
    try:
        found = environments.prepare(options.wheel)
    except environments.EnvironmentMissingError as error:
        print(f"Nothing was measured: {error}", file=sys.stderr)
        return 1
    date = dt.datetime.now(dt.timezone.utc).date().isoformat()
    parent = options.scratch or environments.CACHE
    tables = []
    scale = QUICK if options.quick else FULL
    if options.view:
        scale = dataclasses.replace(scale, views=tuple(dict.fromkeys(options.view)))
    with Laboratory(found, scale, parent) as laboratory:
        facts = machine.machine(laboratory.scratch)
        versions = _versions(found)
        for name in options.only or BUDGETS:
            load = machine.load()
            table = BUDGETS[name](laboratory)
            tables.append(table)
            text = report.section(
                table, date, {"load average before": f"{load:.1f}", "versions": versions}
            )
            print(f"\n## {name}: {table.title}\n\n{text}", flush=True)
            if options.write:
                _write(options.write, name, text)
                _write(options.write, "machine", _machine_table(facts))
    _keep(tables, date, facts)
    return 0


def _parse(words: list[str] | None) -> Any:
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=_WHAT)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and points")
    parser.add_argument(
        "--only",
        action="append",
        choices=list(BUDGETS),
        metavar="BUDGET",
        help="measure this one (may be given several times): " + ", ".join(BUDGETS),
    )
    parser.add_argument(
        "--view",
        action="append",
        choices=FULL.views,
        metavar="VIEW",
        help="of B9 only this view (may be given several times): " + ", ".join(FULL.views),
    )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    parser.add_argument(
        "--wheel", type=Path, help="the wheel to be measured; else one of this checkout is built"
    )
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="where to record (its disk is what is measured)"
    )
    options = parser.parse_args(words)
    if options.wheel is not None and not options.wheel.is_file():
        parser.error(f"there is no wheel {options.wheel}; build one, or leave --wheel out")
    if options.write is not None and options.view:
        parser.error("--view measures a part of B9, which is no section of a page; leave one out")
    if options.write is not None and not options.write.absolute().parent.is_dir():
        parser.error(f"the folder of {options.write} is not there; make it first")
    return options


def _versions(found: environments.Environments) -> str:
    ours = environments.versions(found.ours_numpy)
    named = ["sacred-journal", "msgpack", "zstandard", "xxhash", "numpy"]
    parts = [f"{name} {ours[name]}" for name in named if name in ours]
    if found.peer is not None:
        peer = environments.versions(found.peer)
        parts += [f"{name} {peer[name]}" for name in ("sacred", "tensorboardX") if name in peer]
    return ", ".join(parts)


def _machine_table(facts: dict[str, str]) -> str:
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    return f"| | |\n|---|---|\n{rows}"


def _write(page: Path, name: str, text: str) -> None:
    before = page.read_text(encoding="utf-8") if page.exists() else _PAGE
    page.write_text(report.update(before, name, text), encoding="utf-8")


def _keep(tables: list[Table], date: str, facts: dict[str, str]) -> None:
    """Keep every round's numbers, for whoever doubts a median."""
    rounds = {
        table.budget: [
            {"case": row.case, "who": row.name, "rounds": row.samples.rounds} for row in table.rows
        ]
        for table in tables
    }
    path = environments.CACHE / "rounds.json"
    path.write_text(
        json.dumps({"date": date, "machine": facts, "rounds": rounds}, indent=1), encoding="utf-8"
    )
    print(f"\nEvery round is in {path}.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
