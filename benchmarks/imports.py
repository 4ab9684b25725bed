"""B1: what ``from sacred import Experiment`` costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.laboratory import OURS, SACRED, TENSORBOARD
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome, Samples

_CLASS = "from sacred import Experiment"
_LIMITS = {"added": 50.0, "heavy": 0.0}


def measure(laboratory: Laboratory) -> Table:
    """Measure the imports, each in a fresh interpreter, beside interpreters that import nothing."""
    environments = laboratory.environments
    cases: list[tuple[str, str, Path, str, bool]] = [
        ("no numpy installed", OURS, environments.ours, "import sacred", False),
        ("no numpy installed", OURS, environments.ours, _CLASS, False),
        ("numpy installed", OURS, environments.ours_numpy, _CLASS, True),
    ]
    if environments.peer is not None:
        cases += [
            ("numpy installed", SACRED, environments.peer, _CLASS, False),
            ("numpy installed", TENSORBOARD, environments.peer, "import tensorboardX", False),
        ]
    loaded: dict[str, str] = {}
    contestants: dict[str, Callable[[], Outcome]] = {}
    for number, (_, _, python, statement, _) in enumerate(cases):
        key = str(number)
        contestants[f"{key} empty"] = _once(laboratory, python, "pass", {}, key)
        contestants[key] = _once(laboratory, python, statement, loaded, key)
    samples = interleave(
        contestants,
        rounds=laboratory.scale.process_rounds,
        warmup=1,
        progress=lambda text: laboratory.say(f"B1 {text}"),
    )
    rows = []
    for number, (case, name, _, statement, reference) in enumerate(cases):
        key = str(number)
        mine = samples[key]
        _subtract(mine, samples[f"{key} empty"])
        rows.append(
            Row(
                case,
                f"{name}: `{statement}`",
                mine,
                _LIMITS if name == OURS else {},
                reference,
                f"loads {loaded[key]}" if loaded.get(key) else "",
            )
        )
    return Table(
        "B1",
        "importing",
        (
            Column("added", "added to an empty process, ms", 1e-3),
            Column("inside", "inside, ms", 1e-3),
            Column("modules", "modules"),
            Column("heavy", "drivers and the like"),
        ),
        tuple(rows),
        laboratory.scale.process_rounds,
        (
            "*Added*: wall clock of a whole process that imports, less that of one of the same "
            "environment that does not, round by round. *Inside*: the statement alone, by the "
            "clock of the process. Modules are those that were not in `sys.modules` before."
        ),
    )


def _once(
    laboratory: Laboratory, python: Path, statement: str, loaded: dict[str, str], key: str
) -> Callable[[], Outcome]:
    folder = laboratory.folder()

    def once() -> Outcome:
        result = folder / "result"
        command = [str(python), str(laboratory.script("importing")), statement, str(result)]
        cost = processes.run(command, cwd=folder)
        inside, modules, *heavy = result.read_text(encoding="utf-8").split()
        loaded[key] = ", ".join(heavy)
        return {
            "wall": cost.wall,
            "inside": float(inside),
            "modules": float(modules),
            "heavy": float(len(heavy)),
        }

    return once


def _subtract(samples: Samples, empty: Samples) -> None:
    for outcome, base in zip(samples.rounds, empty.rounds, strict=False):
        outcome["added"] = outcome["wall"] - base["wall"]
