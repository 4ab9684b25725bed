"""The command ``sacred-replay``, which is ``sacred replay``, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import SETTINGS, root_here, runs_of, say, version_option, worst
from sacred.cli.replay_plan import Asked

if TYPE_CHECKING:
    import threading

    from sacred.cli.replay_plan import Plan
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.replay import ReplayOutcome, ReplaySummary

__all__ = ["replay"]


def _given_roots(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the folders that were named behind the command, else the one named before it."""
    if "" in values:
        raise click.BadParameter("a folder is needed, not an empty text", ctx, param)
    if not values and ctx.parent is not None and ctx.parent.params.get("root"):
        return tuple(ctx.parent.params["root"])
    return values


_REPLAY_HELP = """Write runs into views, such as MongoDB.

    \b
      sacred replay --to mongo             what MongoDB lacks of all runs
      sacred replay --to file:DIR 3 4      two runs, as a tree of files
      sacred replay --to mongo --follow    and what comes, until Ctrl-C

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
      journal:DIR              the journals themselves, as a backup; also journal:s3://bucket/path
      slack:FILE               messages to Slack; telegram:FILE to Telegram
      webhook:https://host/..  messages as JSON, to an address of your own
      package.module:MyObserver  an observer of your own, told what Sacred would
                               have told it; MyObserver?name=value gives arguments

      NAME                     a view of that name in sacred-replay.toml

    Without RUN all runs of the root. What a view has already is not written
    again. ${NAME} and ${file:PATH} in a SPEC are a variable and a file's line.

    sacred-replay.toml, in this folder or in ~/.config/sacred, names roots and
    views, jobs, follow and health; --config names another one. Without --to
    its views are written. What is given here counts more than what is there.
    With --follow, SIGHUP reads it again.

    Exit code 0 if every view is up to date, 1 if one failed, 2 if something
    is not as it must be, 3 if one is behind.
    """


class _ReplayCommand(click.Command):
    """Its help names the views that other packages brought, too."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what stands behind the options."""
        from sacred.replayers.registry import third_party_kinds

        found = third_party_kinds()
        if found:
            with formatter.section("Views of other packages"):
                formatter.write_dl([(f"{name}:...", f"from {by}") for name, by in found.items()])
        super().format_epilog(ctx, formatter)


@click.command(cls=_ReplayCommand, help=_REPLAY_HELP, context_settings=SETTINGS)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--to", "specs", multiple=True, metavar="SPEC", help="The view; may be repeated.")
@click.option(
    "--follow/--no-follow",
    default=None,
    help="Keep going: write what comes, until Ctrl-C.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    metavar="N",
    help="So many at once, with --follow for each view.  [default: 1]",
)
@click.option("--rebuild", is_flag=True, help="Write the views of these runs anew.")
@click.option("--url", metavar="URL", help="Server of one --to mongo.")
@click.option("--db", metavar="NAME", help="Database of one --to mongo.")
@click.option("--config", metavar="FILE", help="Settings: a sacred-replay.toml.")
@click.option(
    "--health",
    metavar="PLACE",
    help="With --follow: a file to keep the state in, or HOST:PORT to answer it at.",
)
@click.option("--check", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--connect", is_flag=True, help="With --check: open the views, too.")
@click.option(
    "-J",
    "--journal",
    "--root",
    "roots",
    metavar="DIR",
    multiple=True,
    callback=_given_roots,
    help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above); "
    "may be repeated.",
)
@version_option
def replay(
    runs: tuple[str, ...],
    specs: tuple[str, ...],
    follow: bool | None,
    jobs: int | None,
    rebuild: bool,
    url: str | None,
    db: str | None,
    config: str | None,
    health: str | None,
    check: bool,
    connect: bool,
    roots: tuple[str, ...],
) -> int:
    """Write runs into views."""
    if connect and not check:
        raise click.UsageError("--connect goes with --check")
    asked = Asked(specs, url, db, config, roots, follow, jobs, health)
    if check:
        from sacred.cli.replay_check import check_plan

        return check_plan(asked, runs, connect=connect)
    plan = asked.plan()
    for warning in plan.warnings:
        say(terminal.clean(warning))
    if plan.settings is not None and config is None:
        say(f"the settings are those of {plan.settings}")
    if plan.follow and not runs:
        from sacred.cli.replay_service import serve_plan

        return serve_plan(plan, asked, rebuild=rebuild)
    if plan.health is not None and health is not None:
        raise click.UsageError("--health goes with --follow, without RUN")
    return _replay_once(plan, runs, rebuild=rebuild)


def _replay_once(plan: Plan, runs: tuple[str, ...], *, rebuild: bool) -> int:
    from sacred.replayers.replay import replay as write_views

    chosen: list[tuple[JournalRoot, tuple[RunFolder, ...]]] = []
    if runs and all(os.sep in run for run in runs):
        folders = runs_of(None, runs)
        chosen.append((folders[0].root, folders))
    elif runs and len(plan.roots) > 1:
        raise click.UsageError("a RUN is one of one root: name the root with --root, or its path")
    else:
        for root in plan.roots or (None,):
            place = root_here(root)
            chosen.append((place, runs_of(str(place.path), runs)))
    if not any(folders for _, folders in chosen):
        say("there are no runs yet")
        return 0
    codes = []
    for place, folders in chosen:
        if not folders:
            continue
        if len(chosen) > 1:
            say(f"the runs of {place.path}")
        shown = _ReplayShown()
        try:
            summary = write_views(
                place,
                folders,
                plan.specs,
                follow=plan.follow,
                jobs=plan.jobs,
                ahead=True,
                rebuild=rebuild,
                progress=shown,
                stop=_stopped_by_a_signal() if plan.follow else None,
            )
        finally:
            shown.bar.close()
        shown.end(summary)
        codes.append(summary.exit_code)
    return worst(codes)


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
    "deleted": "was deleted there, or a backup without it was put back: --rebuild writes it again",
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
        well = outcome.state in {"current", "empty"} and not outcome.mended
        if not self.bar.visible or not well:
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
        if reason:
            # A server that is down, a bucket that is not there: the same for a thousand runs.
            said, self._reasons[outcome.view] = self._reasons.get(outcome.view), reason
            repeated = "" if outcome.state == "behind" else "as the one before"
            reason = repeated if said == reason else reason
        error = f": {reason}" if reason else ""
        state = _STATES.get(outcome.state, outcome.state)
        mended = f" ({outcome.mended}: written anew)" if outcome.mended else ""
        return f"run {outcome.run} -> {outcome.view}{there}: {state}{mended}{error}"

    def end(self, summary: ReplaySummary) -> None:
        """Say in a line what came of it all, where the lines were not shown."""
        for view, lost in summary.put_back:
            say(
                f"{terminal.clean(view)} came back older, or empty (put back to a backup, or "
                f"dropped?): of {lost} run{'s' * (lost != 1)} what it lacks is written again (of runs "
                "that were not named, by the next replay)"
            )
        if self.bar.visible:
            current, total = summary.count("current"), len(summary.outcomes)
            print(f"{current} of {total} up to date")


def _see(outcome: ReplayOutcome) -> str:
    from sacred.journal.finding import command_on
    from sacred.journal.root import RunFolder

    number = outcome.run if isinstance(outcome.run, int) else None
    return f"; {command_on('verify', RunFolder(Path(outcome.folder), number))} says what to do"
