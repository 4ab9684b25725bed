"""B9: writing views of ended runs, beside a loop over the driver alone."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments, processes
from benchmarks.laboratory import OURS
from benchmarks.samples import interleave
from benchmarks.tables import Column, Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.laboratory import Laboratory
    from benchmarks.samples import Outcome, Samples

#: As many points as the replayer writes at once.
BATCH = 100_000
#: Longer runs are shortened to this: the server that stands for MongoDB writes an array anew for each
#: push, in its own time, which is then all that is measured.
_MOST = {"mongo": 300_000}
#: 85 % of the speed of the bare loop.
_LIMITS = {"times": 1 / 0.85}
_SQL = ("sqlite", "postgresql", "mariadb")
_SERVERS = environments.REPOSITORY / "tests"


def measure(laboratory: Laboratory) -> Table:
    """Write a long run and many short ones into each view, with ours and with the bare loop."""
    scale = laboratory.scale
    python = environments.with_views(laboratory.environments)
    rows: list[Row] = []
    roots: dict[tuple[int, int], Path] = {}
    for kind in scale.views:
        most = _MOST.get(kind, max(points for _, points in scale.replayed))
        for runs, points in dict.fromkeys((n, min(p, most)) for n, p in scale.replayed):
            root = roots.get((runs, points))
            if root is None:
                root = roots[runs, points] = laboratory.folder() / "root"
                words = [root, runs, points]
                _run(laboratory, python, "make_journals", words, limit=600.0)
            with _server(kind, laboratory.folder()) as (empty, extra):
                address = _with_tables(laboratory, python, empty) if kind in _SQL else empty
                contestants = {
                    "bare": _bare(laboratory, python, kind, address, extra, runs, points),
                    "ours": _ours(laboratory, python, address, extra, root),
                }
                if kind == "postgresql":
                    copies = _bare(
                        laboratory, python, "postgresql-copy", address, extra, runs, points
                    )
                    contestants["copies"] = copies
                samples = interleave(
                    contestants,
                    rounds=scale.bulk_rounds,
                    progress=lambda text, kind=kind: laboratory.say(f"B9 {kind} {text}"),
                )
            _compare(samples, runs * points)
            case = f"{kind}: {runs:,} run{'s' if runs > 1 else ''} of {points:,} points"
            rows += [
                Row(case, OURS, samples["ours"], _LIMITS, reference=True),
                Row(case, "bare driver", samples["bare"]),
            ]
            if "copies" in samples:
                rows.append(Row(case, "bare driver, COPY", samples["copies"]))
    return Table(
        "B9",
        "writing a view",
        (
            Column("wall", "wall, s"),
            Column("cpu", "processor, s"),
            Column("rss", "memory, MB", 1e6),
            Column("point", "wall a point, us", 1e-6),
            Column("times", "times the bare loop"),
        ),
        tuple(rows),
        scale.bulk_rounds,
        (
            "`sacred-replay` of sealed journals into an empty view, whole process, beside a process "
            "that gives the driver the same points in batches of the same size, in a loop, from "
            "values that it draws: it reads no journal, asks nothing, guards nothing. It writes what "
            "the form of the view consists of, in its form: Sacred's tree with Sacred's indent and a "
            "run's points and position (`.journal`), each file durable for itself, as a loop does it; "
            "in a bucket the index of runs too; in MongoDB the position and the index by which a run "
            "is found; for SQL the same rows into the same tables, which are made beforehand for both, a "
            "transaction a batch, by the driver's executemany (for PostgreSQL also by COPY, which is "
            "what the view uses). It does not write: the claim of an id, the documents a second time where two "
            "replayers meet, what a run's restart needs on this machine (its folder `views`). Each on a "
            "server of its own kind on this machine (for MongoDB mongo-java-server with H2, as "
            "the tests start it, for Google Cloud Storage fake-gcs-server, in memory), which takes "
            "processor time as well. Where the replay has a second process that folds the next runs, its "
            "processor time is in. Whether a heartbeat or a run "
            "costs more where more is kept is counted by tests/replayers/test_costs.py; which promise costs "
            "what is left, and why a thousand runs cost more than ten times a hundred on ext4 without a "
            "journal, stands in docs/decisions/0024."
        ),
    )


def _compare(samples: dict[str, Samples], points: int) -> None:
    pairs = zip(samples["ours"].rounds, samples["bare"].rounds, strict=False)
    for ours, bare in pairs:
        ours["times"] = ours["wall"] / bare["wall"]
        for one in (ours, bare):
            one["point"] = one["wall"] / points


def _with_tables(
    laboratory: Laboratory, python: Path, address: Callable[[], str]
) -> Callable[[], str]:
    """Return what makes the address of a database with the tables of a view, and no row."""
    code = (
        "import sys; from sacred.replayers.registry import load_sink; "
        "from sacred.replayers.sink import SinkSpec; "
        "sink = load_sink(SinkSpec.parse(sys.argv[1])); sink.open(); sink.close()"
    )

    def made() -> str:
        place = address()
        command = [str(python), "-c", code, place]
        processes.run(command, cwd=laboratory.folder(), limit=120.0)
        return place

    return made


def _run(
    laboratory: Laboratory,
    python: Path,
    script: str,
    words: list[Any],
    *,
    extra: dict[str, str] | None = None,
    limit: float,
) -> processes.Cost:
    command = [python, laboratory.script(script), *words]
    return processes.run(
        [str(part) for part in command], cwd=laboratory.folder(), extra=extra, limit=limit
    )


def _bare(
    laboratory: Laboratory,
    python: Path,
    kind: str,
    address: Callable[[], str],
    extra: dict[str, str],
    runs: int,
    points: int,
) -> Callable[[], Outcome]:
    def once() -> Outcome:
        words = [kind, address(), runs, points, BATCH]
        return _outcome(_run(laboratory, python, "bare_views", words, extra=extra, limit=600.0))

    return once


def _ours(
    laboratory: Laboratory,
    python: Path,
    address: Callable[[], str],
    extra: dict[str, str],
    root: Path,
) -> Callable[[], Outcome]:
    def once() -> Outcome:
        code = "from sacred.cli import replay_main; raise SystemExit(replay_main())"
        command = [python, "-c", code, "--to", address(), "--root", root]
        cost = processes.run(
            [str(part) for part in command], cwd=laboratory.folder(), extra=extra, limit=600.0
        )
        return _outcome(cost)

    return once


def _outcome(cost: processes.Cost) -> Outcome:
    return {"wall": cost.wall, "cpu": cost.cpu, "rss": float(cost.rss)}


@contextlib.contextmanager
def _server(kind: str, folder: Path) -> Iterator[tuple[Callable[[], str], dict[str, str]]]:
    """Start a server; yield what makes the address of an empty place, and the variables to reach it."""
    number = iter(range(1, 1_000_000))
    if kind == "file":
        yield lambda: f"file:{folder / str(next(number))}", {}
        return
    if kind == "sqlite":
        yield lambda: f"sqlite:///{folder / str(next(number))}.db", {}
        return
    if str(_SERVERS) not in sys.path:
        sys.path.append(str(_SERVERS))
    from servers import databases, gcs, mongo, s3

    if kind == "mongo":
        server: Any = mongo.MongoServer(folder)
    elif kind == "s3":
        server = s3.VersityServer(folder)
    elif kind == "gcs":
        server = gcs.FakeGcsServer(folder)
    else:
        found = {"postgresql": databases.PostgresServer, "mariadb": databases.MariaServer}
        server = found[kind](folder)
    server.start()
    try:
        if kind == "mongo":
            yield lambda: f"mongodb://127.0.0.1:{server.port}/bench{next(number)}", {}
        elif kind == "s3":
            where = f"?endpoint_url={server.url}&region={s3.REGION}"
            yield lambda: f"s3://bench{next(number)}/runs{where}", server.environment()
        elif kind == "gcs":

            def bucket() -> str:
                name = f"bench{next(number)}"
                server.make_bucket(name)
                return f"gs://{name}/runs?project=test"

            yield bucket, {"STORAGE_EMULATOR_HOST": server.url}
        else:

            def address() -> str:
                name = f"bench{next(number)}"
                server.ask(f"CREATE DATABASE {name}")
                return str(server.url(name))

            yield address, {}
    finally:
        server.stop()
