"""B2: what a run costs that does nothing."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from benchmarks import processes
from benchmarks.laboratory import OURS, SACRED, TENSORBOARD
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome

_MODULES = 6
#: What a run costs must not depend on how many came before it.
_RUNS = 10_000
_CROWDED = "nothing attached, 10,000 runs in the root"
_TRAIN = '''\
"""An experiment that does nothing, with modules of its own."""

from sacred import Experiment

{imports}

ex = Experiment("train")


@ex.config
def config():
    rate = 0.1  # how fast to do nothing


@ex.automain
def train(rate):
    return None
'''
_PLAIN = """\
import sys

from tensorboardX import SummaryWriter

SummaryWriter(sys.argv[1]).close()
"""


def make_repository(folder: Path) -> None:
    """Make a git repository of ten committed files, one of them an experiment."""
    names = [f"part{number}" for number in range(_MODULES)]
    imports = "\n".join(f"import {name}" for name in names)
    (folder / "train.py").write_text(_TRAIN.format(imports=imports), encoding="utf-8")
    (folder / "plain.py").write_text(_PLAIN, encoding="utf-8")
    (folder / "README.md").write_text("# An experiment\n", encoding="utf-8")
    (folder / ".gitignore").write_text("__pycache__/\noutput*.txt\n", encoding="utf-8")
    for name in names:
        text = f'"""Part of the experiment."""\n\nNAME = "{name}"\n'
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    person = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost"]
    for words in (["init", "-q"], ["add", "."], [*person, "commit", "-q", "-m", "First"]):
        subprocess.run(
            ["git", *words],
            cwd=folder,
            env=processes.environment(),
            check=True,
            capture_output=True,
            timeout=60,
        )


def measure(laboratory: Laboratory) -> Table:
    """Measure whole processes of an empty observed run."""
    environments = laboratory.environments
    alone, view = "nothing attached", "file view, complete at the end"
    journal, both = {"wall": 120.0}, {"wall": 350.0, "incomplete": 0.0}
    cases: list[tuple[str, str, Path | None, list[str], dict[str, float]]] = [
        ("empty interpreter", "Python", environments.ours, ["-c", "pass"], {}),
        (alone, OURS, environments.ours, ["train.py"], journal),
        (alone, f"{OURS}, numpy installed", environments.ours_numpy, ["train.py"], journal),
        (alone, f"{SACRED} (records nothing)", environments.peer, ["train.py"], {}),
        (alone, f"{TENSORBOARD} (records nothing)", environments.peer, ["plain.py", "VIEW"], {}),
        (_CROWDED, OURS, environments.ours, ["train.py"], journal),
        (view, OURS, environments.ours, ["train.py", "-F", "VIEW"], both),
        (view, SACRED, environments.peer, ["train.py", "-F", "VIEW"], {}),
    ]
    contestants: dict[str, Callable[[], Outcome]] = {
        str(number): _once(laboratory, python, words, _RUNS if case == _CROWDED else 0)
        for number, (case, _, python, words, _) in enumerate(cases)
        if python is not None
    }
    samples = interleave(
        contestants,
        rounds=laboratory.scale.process_rounds,
        warmup=1,
        progress=lambda text: laboratory.say(f"B2 {text}"),
    )
    return Table(
        "B2",
        "an empty run, whole process",
        (
            Column("wall", "wall, ms", 1e-3),
            Column("cpu", "processor, ms", 1e-3),
            Column("rss", "memory, MB", 1e6),
            Column("incomplete", "views not complete", largest=True),
        ),
        tuple(
            Row(case, name, samples[str(number)], limits, name == OURS)
            for number, (case, name, _, _, limits) in enumerate(cases)
            if str(number) in samples
        ),
        laboratory.scale.process_rounds,
        (
            "`python train.py` in a git repository of ten files, seven of them modules that the "
            "experiment is made of. This project journals the run in every row. A view counts as "
            "complete when its `run.json` says COMPLETED at the moment the process is gone. "
            "Processor time is that of the process and the children it waits for; "
            "the replayer that writes the view goes on by itself and is not in it."
        ),
    )


def _once(
    laboratory: Laboratory, python: Path, words: list[str], runs: int
) -> Callable[[], Outcome]:
    folder = laboratory.folder()
    repository = folder / "repository"
    repository.mkdir()
    make_repository(repository)
    view = folder / "view"
    viewed = "-F" in words
    command = [str(python), *(str(view) if word == "VIEW" else word for word in words)]
    turn = 0
    for number in range(1, runs + 1):
        (folder / "runs" / str(number) / "journal").mkdir(parents=True)

    def once() -> Outcome:
        nonlocal turn
        turn += 1
        cost = processes.run(
            command, cwd=repository, extra={"SACRED_JOURNAL_ROOT": str(folder / "runs")}
        )
        outcome = {"wall": cost.wall, "cpu": cost.cpu, "rss": float(cost.rss)}
        if viewed:
            outcome["incomplete"] = float(turn - _completed(view))
        return outcome

    return once


def _completed(view: Path) -> int:
    """Count the runs of a file view that it shows as completed."""
    count = 0
    for path in view.glob("*/run.json"):
        try:
            count += json.loads(path.read_text(encoding="utf-8"))["status"] == "COMPLETED"
        except (ValueError, KeyError):
            continue
    return count
