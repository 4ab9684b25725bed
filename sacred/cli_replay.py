"""The command ``sacred-replay``, which is ``sacred replay``, too."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.cli_options import SETTINGS, root_of, root_option, runs_of, say, version_option

if TYPE_CHECKING:
    import threading

    from sacred.journal.root import JournalRoot
    from sacred.replayers.replay import ReplayOutcome, ReplaySummary
    from sacred.replayers.sink import SinkSpec

__all__ = ["replay"]

_REPLAY_HELP = """Write runs into views, such as MongoDB.

    \b
    A SPEC is
      mongo                    where the runs declared, else the local MongoDB
      mongodb://host/database  a MongoDB server
      sqlite:///FILE.db        an SQL database; also postgresql://user:password@host/database
                               and mysql://..., or sql: where the runs declared
      file:DIR                 a folder, as Sacred's FileStorageObserver writes it
      parquet:DIR              tables for DuckDB, pandas, Spark; parquet: where declared
      tinydb:DIR               a folder with a TinyDB
      s3://bucket/path         an S3 store; gs://bucket/path Google Cloud Storage
      slack:FILE               messages to Slack; telegram:FILE to Telegram
      webhook:https://host/..  messages as JSON, to an address of your own

    Without RUN all runs of the root. What a view has already is not written
    again. Exit code 0 if every view is up to date, 1 if one failed, 2 if
    something is not as it must be, 3 if one is behind.
    """


@click.command(help=_REPLAY_HELP, context_settings=SETTINGS)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--to", "specs", multiple=True, metavar="SPEC", help="The view; may be repeated.")
@click.option("--follow", is_flag=True, help="Keep going: write what comes, until Ctrl-C.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="So many at once.",
)
@click.option("--rebuild", is_flag=True, help="Write the views of these runs anew.")
@click.option("--url", metavar="URL", help="Server of one --to mongo.")
@click.option("--db", metavar="NAME", help="Database of one --to mongo.")
@root_option
@version_option
def replay(
    runs: tuple[str, ...],
    specs: tuple[str, ...],
    follow: bool,
    jobs: int,
    rebuild: bool,
    url: str | None,
    db: str | None,
    root: str | None,
) -> int:
    """Write runs into views."""
    views = _views(specs, url, db)
    from sacred.replayers.replay import replay as write_views

    if runs and all(os.sep in run for run in runs):
        folders = runs_of(root, runs)
        place = folders[0].root
    else:
        place = root_of(root)
        if root is None and "SACRED_JOURNAL_ROOT" not in os.environ and _is_above(place):
            raise click.UsageError(
                f"the runs here are those of {place.path}, above this folder: "
                f"to replay them, say so with --root {place.path}"
            )
        folders = runs_of(str(place.path), runs)
    if not folders and not follow:
        say("there are no runs yet")
        return 0
    shown = _ReplayShown()
    try:
        stop = _stopped_by_a_signal() if follow else None
        summary = write_views(
            place,
            # Without names also runs that begin later are followed.
            folders if runs or not follow else None,
            views,
            follow=follow,
            jobs=jobs,
            rebuild=rebuild,
            progress=shown,
            stop=stop,
        )
    finally:
        shown.bar.close()
    shown.end(summary)
    return summary.exit_code


def _is_above(root: JournalRoot) -> bool:
    """Tell whether a root is neither this folder nor in it: somebody else's, perhaps."""
    here = os.getcwd()
    return os.path.commonpath([here, root.path]) != here


def _stopped_by_a_signal() -> threading.Event:
    """Return what Ctrl-C and SIGTERM set: the work at hand is finished, a second one kills."""
    import signal
    import threading

    stop = threading.Event()

    def end(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return stop


_STATES = {
    "current": "up to date",
    "behind": "behind, replay again",
    "failed": "failed",
    "deleted": "was deleted there, --rebuild writes it again",
    "empty": "nothing to write",
}


class _ReplayShown:
    """A bar and what went wrong on a terminal; a line for each run and view elsewhere."""

    def __init__(self) -> None:
        self.bar = terminal.Progress()
        self._damaged: set[str] = set()
        self._reasons: dict[str, str] = {}

    def __call__(self, done: int, total: int, outcome: ReplayOutcome) -> None:
        line = terminal.clean(self._line(outcome))
        if not self.bar.visible or outcome.state not in {"current", "empty"}:
            self.bar.close()
            print(line, flush=True)
        if outcome.damage and outcome.folder not in self._damaged:
            self._damaged.add(outcome.folder)
            self.bar.close()
            say(f"run {outcome.run} is damaged: {terminal.clean(outcome.damage[0])}{_see(outcome)}")
        self.bar.draw(done, total, f"run {outcome.run} -> {outcome.view}")

    def _line(self, outcome: ReplayOutcome) -> str:
        ident = outcome.view_id
        there = "" if ident is None or ident == outcome.run else f" as {ident}"
        reason = outcome.error
        if outcome.state == "deleted":
            reason = None  # the state says it
        if reason and outcome.state == "behind":
            # A server that is down is down for a thousand runs alike. What failed has its own reason.
            said, self._reasons[outcome.view] = self._reasons.get(outcome.view), reason
            reason = None if said == reason else reason
        error = f": {reason}" if reason else ""
        state = _STATES.get(outcome.state, outcome.state)
        return f"run {outcome.run} -> {outcome.view}{there}: {state}{error}"

    def end(self, summary: ReplaySummary) -> None:
        """Say in a line what came of it all, where the lines were not shown."""
        if self.bar.visible:
            current, total = summary.count("current"), len(summary.outcomes)
            print(f"{current} of {total} up to date")


def _see(outcome: ReplayOutcome) -> str:
    from pathlib import Path

    from sacred.journal.finding import command_on
    from sacred.journal.root import RunFolder

    number = outcome.run if isinstance(outcome.run, int) else None
    return f"; {command_on('verify', RunFolder(Path(outcome.folder), number))} says what to do"


def _views(specs: tuple[str, ...], url: str | None, db: str | None) -> list[SinkSpec]:
    from sacred.replayers.addresses import DEFAULT_MONGO, mongo_spec
    from sacred.replayers.registry import parse_spec

    if not specs:
        raise click.UsageError(
            "name a view: --to mongo, --to mongodb://host/database, --to file:DIR"
        )
    views = [parse_spec(spec) for spec in specs]
    if url is None and db is None:
        return views
    bare = [number for number, spec in enumerate(specs) if spec.strip().lower() == "mongo"]
    if len(bare) != 1:
        raise click.UsageError("--url and --db go with exactly one --to mongo")
    views[bare[0]] = mongo_spec(url or DEFAULT_MONGO, db)
    return views
