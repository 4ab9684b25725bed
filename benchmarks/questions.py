"""B8: questions to many runs, beside the same question to what the peers keep."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING

from benchmarks import environments, processes
from benchmarks.laboratory import OURS
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome, Samples

_AGGREGATE = "select run, metric, avg(value), min(value) from metrics group by all"
#: For the points and the runs of the budget (s).
_POINTS, _RUNS, _LIVE_SHARE = 10_000_000, 10_000, 10
_SECOND, _KEPT = {"wall": 1.0}, {"wall": 0.2}
_WITHIN = {"times": 3.0}
_PEERS = {
    "mlflow": "MLflow, its SQLite store",
    "sacred": "sacred 0.8.7, metrics.json by DuckDB",
    "tensorboard": "tensorboardX, by TensorBoard's reader",
}


def measure(laboratory: Laboratory) -> Table:
    """Ask for a mean of each metric of each run, and for a list of all runs."""
    scale = laboratory.scale
    python = laboratory.environments.ours_numpy
    rows: list[Row] = []
    runs, points = scale.asked
    rows += _aggregates(laboratory, python, runs, points)
    rows += _beside_peers(laboratory, python, *scale.asked_of_peers)
    rows += _listings(laboratory, python, scale.listed)
    return Table(
        "B8",
        "questions",
        (
            Column("wall", "wall, s"),
            Column("cpu", "processor, s"),
            Column("rss", "memory, MB", 1e6),
            Column("times", "times without live runs"),
        ),
        tuple(rows),
        scale.bulk_rounds,
        (
            "Whole processes, from the start of the interpreter to its end, files in the page cache. "
            f"The question is `{_AGGREGATE}`, by `sacred query` in the first case; in the second by "
            "a script for each: `sacred.query`, the same in SQLite's SQL to the file that MLflow's "
            "client wrote, the same in DuckDB's SQL to the `metrics.json` that Sacred's "
            "FileStorageObserver wrote, and TensorBoard's `EventAccumulator` (all points kept) with "
            "numpy. Runs have two metrics of random values, the same for all; what a script answers is "
            "compared. Live runs are a tenth of them, not sealed, of a process that lives. "
            "The budgets are for 10,000,000 points in 100 runs, and for 10,000 runs."
        ),
    )


def _aggregates(laboratory: Laboratory, python: Path, runs: int, points: int) -> list[Row]:
    sealed, mixed = laboratory.folder() / "root", laboratory.folder() / "root"
    _make(laboratory, python, sealed, runs, points)
    live = max(1, runs // _LIVE_SHARE)
    _make(laboratory, python, mixed, runs - live, points)
    with _living(laboratory, python, mixed, live, points):
        contestants = {
            "sealed": _command(laboratory, python, sealed, "query", _AGGREGATE),
            "live": _command(laboratory, python, mixed, "query", _AGGREGATE),
        }
        samples = _interleaved(laboratory, contestants)
    for one, other in zip(samples["live"].rounds, samples["sealed"].rounds, strict=False):
        one["times"] = one["wall"] / other["wall"]
    case = f"mean of each metric, {runs * points:,} points in {runs:,} runs"
    counts = runs * points == _POINTS
    return [
        Row(case, OURS, samples["sealed"], _SECOND if counts else {}, reference=True),
        Row(
            case,
            f"{OURS}, {live:,} of the runs live",
            samples["live"],
            _WITHIN if counts else {},
        ),
    ]


def _beside_peers(laboratory: Laboratory, python: Path, runs: int, points: int) -> list[Row]:
    root = laboratory.folder() / "root"
    _make(laboratory, python, root, runs, points)
    contestants = {"journal": _asked(laboratory, python, "journal", root, runs)}
    for kind, (writer, reader) in _interpreters(laboratory).items():
        folder = laboratory.folder() / "data"
        words = [writer, laboratory.script("question_peers"), kind, folder, runs, points]
        laboratory.say(f"B8 {kind} writes {runs * points:,} points")
        try:
            command = [str(word) for word in words]
            processes.run(command, cwd=laboratory.folder(), limit=1800.0)
        except processes.ProcessFailedError as error:
            laboratory.say(f"B8 {kind} is not measured: {error}")
            continue
        contestants[kind] = _asked(laboratory, reader, kind, folder, runs)
    samples = _interleaved(laboratory, contestants)
    case = f"mean of each metric, {runs * points:,} points in {runs:,} runs"
    return [
        Row(case, _PEERS.get(kind, OURS), samples[kind], reference=kind == "journal")
        for kind in contestants
    ]


def _interpreters(laboratory: Laboratory) -> Mapping[str, tuple[Path, Path]]:
    """Return by kind the interpreters that write and that ask."""
    found: dict[str, tuple[Path, Path]] = {}
    known = laboratory.environments
    if known.peer is None:
        return {}
    try:
        peers = environments.for_questions()
        found = {"mlflow": (peers, peers), "tensorboard": (peers, peers)}
    except environments.EnvironmentMissingError as error:
        laboratory.say(f"B8 MLflow and TensorBoard are not measured: {error}")
    found["sacred"] = (known.peer, known.ours_numpy)
    return found


def _listings(laboratory: Laboratory, python: Path, runs: int) -> list[Row]:
    root = laboratory.folder() / "root"
    _make(laboratory, python, root, runs, 20)
    ls, sql = ("ls",), ("query", "from runs")
    # What changed in the last two seconds is not kept.
    time.sleep(2.5)
    contestants: dict[str, Callable[[], Outcome]] = {}
    for words in (ls, sql):
        contestants[words[0]] = _command(laboratory, python, root, *words, "--no-cache")
        contestants[f"{words[0]} again"] = _command(laboratory, python, root, *words)
    _command(laboratory, python, root, *ls)()  # the first question makes the cache
    samples = _interleaved(laboratory, contestants)
    shutil.rmtree(root / ".cache")
    live = max(1, runs // 1000)
    with _living(laboratory, python, root, live, 20):
        _command(laboratory, python, root, *ls)()
        mixed = _interleaved(laboratory, {"ls": _command(laboratory, python, root, *ls)})
    for one, other in zip(mixed["ls"].rounds, samples["ls again"].rounds, strict=False):
        one["times"] = one["wall"] / other["wall"]
    counts = runs == _RUNS
    second, kept = (_SECOND, _KEPT) if counts else ({}, {})
    case = f"a list of {runs:,} runs"
    return [
        Row(case, "`sacred ls`, without a cache", samples["ls"], second, reference=True),
        Row(case, "`sacred ls`, with what the last one kept", samples["ls again"], kept),
        Row(
            case,
            f"the same, {live:,} more live runs",
            mixed["ls"],
            _WITHIN if counts else {},
        ),
        Row(case, '`sacred query "from runs"`, without a cache', samples["query"], second),
        Row(case, "the same, with what the last one kept", samples["query again"], kept),
    ]


def _interleaved(
    laboratory: Laboratory, contestants: Mapping[str, Callable[[], Outcome]]
) -> dict[str, Samples]:
    return interleave(
        contestants,
        rounds=laboratory.scale.bulk_rounds,
        warmup=1,  # modules are compiled, files are in the page cache
        progress=lambda text: laboratory.say(f"B8 {text}"),
    )


def _make(laboratory: Laboratory, python: Path, root: Path, runs: int, points: int) -> None:
    laboratory.say(f"B8 makes {runs:,} runs of {points:,} points")
    words = [python, laboratory.script("make_journals"), root, runs, points]
    processes.run([str(word) for word in words], cwd=laboratory.folder(), limit=900.0)


@contextlib.contextmanager
def _living(
    laboratory: Laboratory, python: Path, root: Path, runs: int, points: int
) -> Iterator[None]:
    """Have runs go on in a root meanwhile."""
    folder = laboratory.folder()
    ready = folder / "ready"
    words = [python, laboratory.script("live_journals"), root, runs, points, ready]
    process = processes.start([str(word) for word in words], cwd=folder)
    try:
        until = time.monotonic() + 300.0
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the live runs were not written")
            time.sleep(0.05)
        yield
    finally:
        processes.stop(process)
        process.wait()


def _command(
    laboratory: Laboratory, python: Path, root: Path, *words: str
) -> Callable[[], Outcome]:
    code = "from sacred.cli import main; raise SystemExit(main())"
    command = [str(python), "-c", code, *words, "--root", str(root)]

    def once() -> Outcome:
        return _outcome(processes.run(command, cwd=laboratory.folder(), limit=300.0))

    return once


def _asked(
    laboratory: Laboratory, python: Path, kind: str, folder: Path, runs: int
) -> Callable[[], Outcome]:
    command = [str(python), str(laboratory.script("question")), kind, str(folder)]

    def once() -> Outcome:
        place = laboratory.folder()
        cost = processes.run(command, cwd=place, limit=600.0)
        (output,) = place.glob("output-*.txt")
        groups, mean = output.read_text(encoding="utf-8").splitlines()[-1].split()
        # Random values between 0 and 1: whoever lost some, or took others, is elsewhere.
        if int(groups) != 2 * runs or abs(float(mean) - 0.5) > 0.1:
            raise RuntimeError(f"{groups} groups were found, of the mean {mean}")
        return _outcome(cost)

    return once


def _outcome(cost: processes.Cost) -> Outcome:
    return {"wall": cost.wall, "cpu": cost.cpu, "rss": float(cost.rss)}
