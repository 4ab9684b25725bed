"""Where measurements happen: interpreters, a scratch folder, and how much is measured."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.environments import Environments

SCRIPTS = Path(__file__).resolve().parent / "scripts"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    process_rounds
        Rounds of what takes a fraction of a second (B1, B2).
    rounds
        Rounds of B3.
    bulk_rounds
        Rounds of B4 and B7, whose slowest contestant takes a minute.
    kill_rounds
        Rounds of B6: one kill each.
    tight_calls, spaced_calls, spacing
        B3: calls in a tight loop, calls with a pause before each, and that pause (s).
    bulk_points
        B4: numbers of points, the budget's last.
    size_points, trickle_points, trickle_spacing, idle_points
        B5: points of a burst; points one by one, the real spacing between them (s), and how many
        are logged with a pause just above the writer's idle time.
    stream_rate, stream_seconds
        B6: points per second, seconds until the kill.
    replayed, views
        B9: numbers of runs and of points in each; kinds of views.
    asked, asked_of_peers, listed
        B8: numbers of runs and of points in each, of ours alone and beside the peers; and how many
        runs are listed.
    """

    process_rounds: int
    rounds: int
    bulk_rounds: int
    kill_rounds: int
    tight_calls: int
    spaced_calls: int
    spacing: float
    bulk_points: tuple[int, ...]
    size_points: int
    trickle_points: int
    trickle_spacing: float
    idle_points: int
    stream_rate: int
    stream_seconds: float
    replayed: tuple[tuple[int, int], ...]
    views: tuple[str, ...]
    asked: tuple[int, int]
    asked_of_peers: tuple[int, int]
    listed: int


_VIEWS = ("mongo", "sqlite", "postgresql", "mariadb", "file", "s3", "gcs")
FULL = Scale(
    process_rounds=15,
    rounds=5,
    bulk_rounds=3,
    kill_rounds=8,
    tight_calls=200_000,
    spaced_calls=500,
    spacing=0.01,
    bulk_points=(100_000, 300_000, 1_000_000),
    size_points=200_000,
    trickle_points=60,
    trickle_spacing=1.0,
    idle_points=400,
    stream_rate=5_000,
    stream_seconds=5.0,
    replayed=((1, 10_000), (1, 100_000), (1, 1_000_000), (100, 1_000), (1_000, 1_000)),
    views=_VIEWS,
    asked=(100, 100_000),
    asked_of_peers=(100, 10_000),
    listed=10_000,
)
QUICK = Scale(
    process_rounds=5,
    rounds=3,
    bulk_rounds=1,
    kill_rounds=3,
    tight_calls=50_000,
    spaced_calls=100,
    spacing=0.01,
    bulk_points=(30_000, 100_000),
    size_points=50_000,
    trickle_points=5,
    trickle_spacing=1.0,
    idle_points=100,
    stream_rate=5_000,
    stream_seconds=1.0,
    replayed=((1, 100_000), (100, 1_000)),
    views=_VIEWS,
    asked=(20, 50_000),
    asked_of_peers=(10, 10_000),
    listed=1_000,
)
#: For the tests of the harness: every step once, no number worth a look.
TINY = Scale(
    process_rounds=1,
    rounds=1,
    bulk_rounds=1,
    kill_rounds=1,
    tight_calls=200,
    spaced_calls=3,
    spacing=0.001,
    bulk_points=(100, 300),
    size_points=2_000,
    trickle_points=2,
    trickle_spacing=0.05,
    idle_points=5,
    stream_rate=1_000,
    stream_seconds=0.2,
    replayed=((2, 100),),
    views=("file",),
    asked=(3, 200),
    asked_of_peers=(2, 100),
    listed=5,
)


class Laboratory:
    """Runs the scripts of the contestants, each time in a folder of its own.

    Use as a context manager: the scratch folder goes when it is left. Safe to use from several
    threads.

    Attributes
    ----------
    environments
        The interpreters.
    scale
        How much is measured.
    scratch
        The folder that everything is written to.
    """

    def __init__(self, environments: Environments, scale: Scale, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        self.environments = environments
        self.scale = scale
        self.scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=parent))
        self._numbers = itertools.count(1)
        # A copy, so that the checkout's git state and its other files have no part in this.
        self._scripts = self.scratch / "scripts"
        shutil.copytree(SCRIPTS, self._scripts, ignore=shutil.ignore_patterns("__pycache__"))

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)

    def folder(self) -> Path:
        """Make an empty folder."""
        path = self.scratch / f"{next(self._numbers):05}"
        path.mkdir()
        return path

    def script(self, name: str) -> Path:
        """Return where a script of ``benchmarks/scripts`` lies."""
        return self._scripts / f"{name}.py"

    def say(self, text: str) -> None:
        """Tell the person who waits what happens."""
        print(text, file=sys.stderr, flush=True)

    def record(
        self,
        contestant: Contestant,
        script: str,
        words: Sequence[object],
        *,
        folder: Path,
        limit: float = 300.0,
    ) -> processes.Cost:
        """Run a script that records with a contestant; what it records is in ``folder``/data."""
        command = [contestant.python, self.script(script), contestant.api, folder / "data", *words]
        return processes.run(
            [str(part) for part in command],
            cwd=folder,
            extra=contestant.variables(folder),
            limit=limit,
        )

    def seal(self, contestant: Contestant, folder: Path) -> None:
        """Seal what one of our contestants recorded into ``folder``/data."""
        code = "from sacred.cli import main; raise SystemExit(main())"
        command = [contestant.python, "-c", code, "seal", "--all", "--root", folder / "data"]
        processes.run([str(part) for part in command], cwd=folder, limit=120.0)

    def count(self, contestant: Contestant, folder: Path) -> tuple[int, int]:
        """Return how many points can be read back, and how many are missing between them."""
        result = folder / "count.txt"
        command = [
            contestant.python,
            self.script("count"),
            contestant.reader,
            folder / "data",
        ]
        process = processes.start([str(part) for part in command], cwd=folder, output=result)
        try:
            status = process.wait(timeout=120.0)
        finally:
            processes.stop(process)
        text = result.read_text(encoding="utf-8").strip()
        if status:
            raise processes.ProcessFailedError(f"the points can not be read: {text[-800:]}")
        counted = json.loads(text.splitlines()[-1])
        return counted["points"], counted["holes"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something that records points, and how it is run.

    Attributes
    ----------
    name
        As the tables show it.
    python
        Its interpreter.
    api
        What ``recording.py`` is asked for.
    reader
        What ``count.py`` is asked for.
    ours
        Whether the budgets are for it.
    durability
        Of this project's journal.
    live
        The journal stays as it was written, and is not sealed.
    """

    name: str
    python: Path
    api: str
    reader: str = ""
    ours: bool = False
    durability: str = ""
    live: bool = False

    def variables(self, folder: Path) -> Mapping[str, str]:
        """Return the environment variables of a process that records into ``folder``."""
        if not self.ours:
            return {}
        chosen = {"SACRED_JOURNAL_ROOT": str(folder / "data")}
        if self.durability:
            chosen["SACRED_JOURNAL_DURABILITY"] = self.durability
        if self.live:
            chosen["SACRED_JOURNAL_SEAL"] = "false"
        return chosen


OURS = "sacred-journal"
EVENT = 'sacred-journal, durability="event"'
SACRED = "sacred 0.8.7"
TENSORBOARD = "tensorboardX"


def recorders(environments: Environments) -> list[Contestant]:
    """Return this project and the peers that are there."""
    found = [Contestant(OURS, environments.ours, "sacred", "journal", ours=True)]
    if environments.peer is not None:
        found += [
            Contestant(SACRED, environments.peer, "sacred-file", "file"),
            Contestant(TENSORBOARD, environments.peer, "tensorboardX", "tensorboardX"),
        ]
    return found


def event_recorder(environments: Environments) -> Contestant:
    """Return this project, one write a point."""
    return Contestant(EVENT, environments.ours, "sacred", "journal", ours=True, durability="event")


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
