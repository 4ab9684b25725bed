"""The commands ``sacred`` and ``sacred-replay``: they find runs, show them, and write views.

Exit codes: 0 done or clean, 1 damaged or failed, 2 wrong use or could not look, 3 a view is behind,
130 interrupted. A command calls one function of :mod:`sacred.replayers` or :mod:`sacred.journal`
and shows what it gave; nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.__about__ import __version__
from sacred.cli_export import add_commands
from sacred.cli_gc import gc
from sacred.journal.errors import JournalError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeVar

    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.details import RunDetails
    from sacred.replayers.listing import RunOutline
    from sacred.replayers.replay import ReplayOutcome, ReplaySummary
    from sacred.replayers.sink import SinkSpec

    _Outcome = TypeVar("_Outcome")

__all__ = ["main", "replay_main"]

DAMAGED, NOT_LOOKED, INTERRUPTED = 1, 2, 130
_SHOWN_OUTPUT = 20


class _Group(click.Group):
    """A group that tells which command was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], self.commands, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.commands)}"
            raise click.UsageError(f"there is no command {args[0][:80]!r}: {hint}")
        return super().resolve_command(ctx, args)


_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _root_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "-J",
        "--root",
        "root",
        metavar="DIR",
        help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above).",
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")(command)


def _named_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command take the names of runs, or all; ``_chosen`` finds them."""
    command = click.option("--all", "everything", is_flag=True, help="Every run of the root.")(
        command
    )
    return click.argument("runs", nargs=-1, metavar="RUN...")(command)


def _force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Also what another machine wrote, unseen if it lives."
    return click.option("--force", is_flag=True, help=text)(command)


_version_option = click.version_option(
    __version__, message="%(prog)s (sacred-journal %(version)s)", help="Show the version."
)


@click.group(cls=_Group, context_settings=_SETTINGS)
@_version_option
def cli() -> None:
    """Look at the runs of experiments, query them, check them, bring them into views.

    A RUN is the number of its folder, last, last~2 (two before the last), id:X, or a path.
    """


# -- looking -----------------------------------------------------------------------------------


def _root(given: str | None) -> JournalRoot:
    """Find the root, and say which one it is where that is not plain."""
    from sacred.replayers.naming import looking_root

    root = looking_root(given)
    if str(root.path) != os.path.abspath(given or "sacred_runs"):
        _say(f"the runs are in {root.path}")
    return root


def _runs(given: str | None, texts: Sequence[str]) -> tuple[RunFolder, ...]:
    """Find the runs that were named, or all."""
    from sacred.replayers.naming import select_runs

    if texts and all(os.sep in text for text in texts):
        return select_runs(tuple(texts), given)
    return select_runs(tuple(texts), str(_root(given).path))


def _chosen(given: str | None, texts: Sequence[str], everything: bool) -> Iterable[RunFolder]:
    """Find the runs that were named to a command that changes or checks them, or all."""
    if everything == bool(texts):
        verb = click.get_current_context().info_name
        both = ", not both" if texts else ""
        raise click.UsageError(f"name the runs to {verb}, or give --all{both}")
    return _root(given).runs() if everything else _runs(given, texts)


def _say(text: str) -> None:
    """Tell the person something that is not the result."""
    context = click.get_current_context(silent=True)
    name = context.find_root().info_name if context is not None else None
    print(f"{name or 'sacred'}: {text}", file=sys.stderr, flush=True)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


def _print_records(records: Iterable[dict[str, Any]]) -> None:
    """Print a JSON array, an element a line."""
    from sacred.replayers.jsontext import to_json

    before = "[\n"
    for record in records:
        sys.stdout.write(before + to_json(record))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


@cli.command()
@click.option("-n", "last", type=click.IntRange(1), metavar="N", help="Only the last N runs.")
@_json_option
@_root_option
def ls(last: int | None, as_json: bool, root: str | None) -> int:
    """List the runs and what became of them.

    Times are those of this machine's zone; --json and SQL have UTC.
    """
    from sacred.replayers.listing import outlines

    found = outlines(_root(root), last=last)
    if as_json:
        _print_records(outline.record() for outline in found)
        return 0
    listed = list(found)
    if not listed:
        _say("there are no runs yet")
        return 0
    _print(_listing(listed))
    if terminal.is_terminal():
        for outline in listed:
            if outline.problem:
                _say(f"run {outline.run}: {terminal.clean(outline.problem)}")
    return 0


def _listing(listed: list[RunOutline]) -> list[str]:
    from sacred.replayers.jsontext import to_json

    whole = not terminal.is_terminal()
    header = ["RUN", "ID", "STATUS", "STARTED", "TIME", "NAME", "COMMAND", "POINTS", "RESULT"]
    if whole:
        header.append("PROBLEM")
    optional = ["COMMAND", "STARTED", "TIME", "RESULT", "NAME"]
    if all(outline.id in {None, outline.run} for outline in listed if _plain_id(outline.id)):
        optional.insert(0, "ID")
    table = terminal.Table(
        header,
        right=("RUN", "TIME", "POINTS"),
        flexible=("ID", "NAME", "COMMAND", "RESULT"),
        optional=optional,
    )
    for outline in listed:
        cells = [
            str(outline.run),
            "" if outline.id is None else str(outline.id),
            outline.status,
            terminal.local_time(outline.start),
            terminal.duration_text(outline.duration),
            outline.name or "",
            outline.command or "",
            str(outline.points),
            "" if outline.result is None else to_json(outline.result),
        ]
        table.add(*cells, *([outline.problem or ""] if whole else []))
    return table.lines()


def _plain_id(value: Any) -> bool:
    return value is None or isinstance(value, (int, str))


@cli.command()
@click.argument("run")
@_json_option
@_root_option
def show(run: str, as_json: bool, root: str | None) -> int:
    """Show one run closely.

    Its configuration, metrics, info, files and result, and the end of what it printed.
    """
    from sacred.replayers.details import details

    (folder,) = _runs(root, (run,))
    found = details(folder)
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json(found.record(), indent=2))
    else:
        _print(_description(found))
    return NOT_LOOKED if found.outline.status in {"FOREIGN", "EMPTY", "NEWER", "UNREADABLE"} else 0


def _description(found: RunDetails) -> list[str]:
    from sacred.replayers.jsontext import to_json

    outline, document = found.outline, found.document
    number = outline.path if outline.run is None else f"run {outline.run}"
    status = terminal.status_text(outline.status)
    lines = [f"{terminal.paint(terminal.clean(number), 'bold')}  {status}"]
    meta = document.get("meta") or {}
    started = terminal.local_time(outline.start)
    took = terminal.duration_text(outline.duration)
    if outline.status == "DIED":
        took = f"last sign of life after {took}" if took else ""
    elif outline.status == "RUNNING":
        took = f"for {took}" if took else ""
    else:
        took = f"took {took}" if took else ""
    facts = {
        "name": outline.name,
        "id": None if outline.id is None or outline.id == outline.run else str(outline.id),
        "command": outline.command,
        "comment": meta.get("comment"),
        "started": ", ".join(part for part in (started, took) if part),
        "host": outline.host,
        "result": None if outline.result is None else to_json(outline.result),
        "folder": outline.path,
        "problem": outline.problem,
        "writers": len(found.writers) if len(found.writers) > 1 else None,
    }
    lines += [f"  {key:<8}  {terminal.clean(str(value))}" for key, value in facts.items() if value]
    lines += _section("config", _settings(document.get("config")))
    lines += _section("metrics", _metric_lines(found))
    lines += _section("info", _settings(document.get("info")))
    for name in ("artifacts", "resources"):
        lines += _section(name, [_file_line(entry) for entry in document.get(name) or ()])
    experiment = document.get("experiment") or {}
    lines += _section("sources", [_file_line(entry) for entry in experiment.get("sources") or ()])
    lines += _section("views", [_view_line(view) for view in found.views])
    trace = [line for part in document.get("fail_trace") or () for line in str(part).splitlines()]
    lines += _section("trace", [terminal.clean(line) for line in trace])
    printed = terminal.printed_lines(found.output)
    title = "output"
    if len(printed) > _SHOWN_OUTPUT:
        title = f"output (the last {_SHOWN_OUTPUT} lines)"
    lines += _section(title, printed[-_SHOWN_OUTPUT:])
    return lines


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    return ["", terminal.paint(title, "bold"), *("  " + line for line in lines)]


def _settings(tree: Any) -> list[str]:
    """Return ``key = value`` lines of nested entries."""
    from sacred.replayers.jsontext import leaves, to_json

    pairs = [(terminal.clean(key), to_json(value)) for key, value in leaves(tree or {})]
    width = min(32, max((len(key) for key, _ in pairs), default=0))
    return [f"{key:<{width}} = {terminal.clean(_shortened(value))}" for key, value in pairs]


def _shortened(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _metric_lines(found: RunDetails) -> list[str]:
    from sacred.replayers.jsontext import to_json

    if not found.metrics:
        return []
    numeric = ("POINTS", "STEP", "LAST", "MIN", "MAX")
    header = ("METRIC", *numeric)
    table = terminal.Table(header, right=numeric, flexible=("METRIC", "LAST"), optional=("STEP",))
    for metric in found.metrics:
        numbers = (metric.last, metric.lowest, metric.highest)
        last, low, high = ("" if n is None else _number_text(n) for n in numbers)
        table.add(metric.name, str(metric.points), to_json(metric.last_step), last, low, high)
    # The section indents it by two.
    return table.lines(
        aligned=True, width=terminal.columns() - 2 if terminal.is_terminal() else 1 << 20
    )


def _number_text(value: Any) -> str:
    from sacred.replayers.jsontext import to_json

    if isinstance(value, float):
        return f"{value:.6g}"
    return _shortened(to_json(value), 40)


_VIEW_STATES = {"current": "up to date", "following": "being written", "behind": "behind"}


def _view_line(view: Any) -> str:
    from sacred.replayers.jsontext import to_json

    name = view.get("name") if isinstance(view, dict) else None
    if not name:
        return to_json(view)
    facts = [] if view.get("id") is None else [f"as {view['id']}"]
    if view.get("state"):
        facts.append(_VIEW_STATES.get(view["state"], str(view["state"])))
    error = f": {view['error']}" if view.get("error") else ""
    return terminal.clean(f"{name}  {', '.join(facts)}{error}".rstrip())


def _file_line(entry: Any) -> str:
    size = f"{entry.size:,} bytes" if entry.digest else "content not stored"
    return terminal.clean(f"{entry.name}  ({size})")


@cli.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="As JSON Lines; this is what it always does.")
@_root_option
def events(run: str, as_json: bool, root: str | None) -> int:  # noqa: ARG001 - always JSON
    """Print every event of a run as JSON Lines.

    Metric points come one by one. Exit code 1 if the journal is damaged.
    """
    from sacred.replayers.details import event_lines

    (folder,) = _runs(root, (run,))
    problems: list[str] = []
    _print(event_lines(folder, problems))
    for problem in problems:
        _say(f"run {run}: {problem}")
    return DAMAGED if problems else 0


@cli.command()
@_named_runs
@_json_option
@_root_option
def verify(runs: tuple[str, ...], everything: bool, as_json: bool, root: str | None) -> int:
    """Read runs through: is all there, and whole?

    Every event and every stored file. Exit code 0 if all are clean, 1 if one is damaged, 2 if one could not be read.
    """
    from sacred.replayers.verification import check

    checks = [check(folder) for folder in _chosen(root, runs, everything)]
    if as_json:
        _print_records(checked.record() for checked in checks)
    else:
        for checked in checks:
            colour = "green" if checked.exit_code == 0 else "red"
            verdict = terminal.paint(checked.verdict, colour)
            _print([f"run {checked.run}: {verdict}, {terminal.clean(checked.summary)}"])
            _print("  " + terminal.clean(problem) for problem in checked.problems)
    codes = {checked.exit_code for checked in checks}
    return _worst(codes)


@cli.command()
@_named_runs
@_force_option
@_json_option
@_root_option
def seal(
    runs: tuple[str, ...], everything: bool, force: bool, as_json: bool, root: str | None
) -> int:
    """Make the files of ended runs smaller, and faster to read.

    No event and no view moves. Files that are still written stay as they are. Exit code 1 if one
    is damaged, 2 if it can not be seen whether one is still written.
    """
    from sacred.journal.seal import seal_run

    records: list[dict[str, Any]] = []
    codes = {0}
    found = _chosen(root, runs, everything)
    work = partial(seal_run, force=force)
    for folder, outcomes in _outcomes(found, work, records, codes, as_json=as_json):
        for outcome in outcomes:
            codes.add({"damaged": DAMAGED, "unknown": NOT_LOOKED}.get(outcome.state, 0))
            done = outcome.sealed
            record = {
                "run": folder.number,
                "file": outcome.path.name,
                "state": outcome.state,
                "before": done and done.before,
                "after": done and done.after,
                "reason": outcome.reason,
            }
            records.append(record)
            if not as_json:
                what = f": {outcome.reason}" if outcome.reason else ""
                if done is not None:
                    what = f", {done.before:,} -> {done.after:,} bytes"
                _print([f"run {folder.number} {outcome.path.name}: {outcome.state}{what}"])
    if as_json:
        _print_records(records)
    return _worst(codes)


@cli.command()
@_named_runs
@_force_option
@_json_option
@_root_option
def repair(
    runs: tuple[str, ...], everything: bool, force: bool, as_json: bool, root: str | None
) -> int:
    """Write damaged files anew, with all that is whole in them.

    The damaged file keeps its bytes under another name. What is lost stays lost, and is named.
    Exit code 1 if a file could not be repaired.
    """
    from sacred.journal.repair import repair_run

    records: list[dict[str, Any]] = []
    codes = {0}
    found = _chosen(root, runs, everything)
    work = partial(repair_run, force=force)
    for folder, outcomes in _outcomes(found, work, records, codes, as_json=as_json):
        if not outcomes and not as_json:
            _print([f"run {folder.number}: nothing to repair"])
        for outcome in outcomes:
            lost = sum(end - first for first, end in outcome.lost)
            record = {
                "run": folder.number,
                "file": outcome.path.name,
                "repaired": outcome.reason is None,
                "lost": lost,
                "kept": outcome.kept and outcome.kept.name,
                "reason": outcome.reason,
            }
            records.append(record)
            if not as_json:
                what = f"not repaired: {outcome.reason}"
                if outcome.kept is not None:
                    what = f"repaired, {lost} events are lost; as it was: {outcome.kept.name}"
                _print([f"run {folder.number} {outcome.path.name}: {what}"])
    if as_json:
        _print_records(records)
    if any(not record.get("repaired", True) for record in records):
        codes.add(DAMAGED)
    return _worst(codes)


def _outcomes(
    folders: Iterable[RunFolder],
    work: Callable[[RunFolder], list[_Outcome]],
    records: list[dict[str, Any]],
    codes: set[int],
    *,
    as_json: bool,
) -> Iterator[tuple[RunFolder, list[_Outcome]]]:
    """Yield what became of each run; one with which nothing could be done is said, and passed over."""
    for folder in folders:
        if folder.holds_nothing():
            continue
        try:
            found = work(folder)
        except (JournalError, OSError) as error:
            if isinstance(error, JournalError):
                reason = str(error.args[-1])
            else:
                reason = f"{error.strerror or error}: it is as it was"
            records.append(
                {"run": folder.number, "file": None, "state": "failed", "reason": reason}
            )
            if not as_json:
                _print([f"run {folder.number}: failed: {terminal.clean(reason)}"])
            codes.add(getattr(error, "exit_code", None) or NOT_LOOKED)
        else:
            yield folder, found


def _worst(codes: Iterable[int]) -> int:
    """Return the exit code for several runs: damage is said before what could not be looked at."""
    found = set(codes)
    return DAMAGED if DAMAGED in found else max(found, default=0)


_QUERY_HELP = """Ask the runs a question in SQL.

    \b
    The tables are runs, metrics, config, output, events, artifacts, resources,
    sources, hosts; "describe metrics" shows the columns of one. For example:

    \b
      sacred query "select run, name, status, duration from runs"
      sacred query "select run, metric, min(value) from metrics group by all"
    """


@cli.command(help=_QUERY_HELP)
@click.argument("sql")
@_json_option
@_root_option
def query(sql: str, as_json: bool, root: str | None) -> int:
    """Ask the runs a question in SQL."""
    from sacred.replayers.queries import query as ask

    result = ask(sql, _root(root))
    _tell_problems(result.problems)
    if as_json:
        names = _distinct(result.columns)
        _print_records(dict(zip(names, map(_json_value, row), strict=True)) for row in result.rows)
        return 0
    numeric = [
        name
        for number, name in enumerate(result.columns)
        if all(isinstance(row[number], (int, float, type(None))) for row in result.rows)
    ]
    if result.columns == ["explain_key", "explain_value"]:
        _print(line for row in result.rows for line in str(row[1]).splitlines())
        return 0
    if not result.rows and terminal.is_terminal():
        _say(f"no rows; the columns are {terminal.clean(', '.join(result.columns))}")
        return 0
    table = terminal.Table(result.columns, right=numeric, flexible=result.columns)
    for row in result.rows:
        table.add(*(_cell(value) for value in row))
    _print(table.lines() if table.fits() else table.records())
    return 0


def _tell_problems(problems: list[str]) -> None:
    if len(problems) > 1:
        _say(
            f"{len(problems)} runs are damaged or can not be read, their rows may be missing: "
            "sacred verify --all tells more"
        )
    elif problems:
        _say(terminal.clean(problems[0]))


def _distinct(names: list[str]) -> list[str]:
    """Return the names with numbers behind those that came before."""
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct


def _json_value(value: Any) -> Any:
    """Return a decimal as the number it is; JSON has no other."""
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else value


def _cell(value: Any) -> str:
    if value is None:
        return "" if not terminal.is_terminal() else "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, dict)):
        from sacred.replayers.jsontext import to_json

        return to_json(value)
    return str(value)


add_commands(cli, _named_runs, _chosen, _say)


# -- writing views -----------------------------------------------------------------------------

_REPLAY_HELP = """Write runs into views, such as MongoDB.

    \b
    A SPEC is
      mongo                    where the runs declared, else the local MongoDB
      mongodb://host/database  a MongoDB server
      file:DIR                 a folder, as Sacred's FileStorageObserver writes it

    Without RUN all runs of the root. What a view has already is not written
    again. Exit code 0 if every view is up to date, 1 if one failed, 2 if
    something is not as it must be, 3 if one is behind.
    """


@cli.command(help=_REPLAY_HELP, context_settings=_SETTINGS)
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
@_root_option
@_version_option
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
        folders = _runs(root, runs)
        place = folders[0].root
    else:
        place = _root(root)
        if root is None and "SACRED_JOURNAL_ROOT" not in os.environ and _is_above(place):
            raise click.UsageError(
                f"the runs here are those of {place.path}, above this folder: "
                f"to replay them, say so with --root {place.path}"
            )
        folders = _runs(str(place.path), runs)
    if not folders and not follow:
        _say("there are no runs yet")
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
            _say(f"run {outcome.run} is damaged: {terminal.clean(outcome.damage[0])}")
        self.bar.draw(done, total, f"run {outcome.run} -> {outcome.view}")

    def _line(self, outcome: ReplayOutcome) -> str:
        ident = outcome.view_id
        there = "" if ident is None or ident == outcome.run else f" as {ident}"
        reason = outcome.error
        if outcome.state == "deleted":
            reason = None  # the state says it
        if reason and outcome.state in {"behind", "failed"}:
            # A server that is down is down for a thousand runs alike.
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


def _views(specs: tuple[str, ...], url: str | None, db: str | None) -> list[SinkSpec]:
    from sacred.replayers.registry import DEFAULT_MONGO, mongo_spec, parse_spec

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


cli.add_command(gc)

# -- running a command -------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sacred``.

    Parameters
    ----------
    argv
        Arguments; those of the process if None.

    Returns
    -------
    The exit code. Errors are a sentence on stderr and never raised.
    """
    return _run(cli, "sacred", argv)


def replay_main(argv: Sequence[str] | None = None) -> int:
    """Run the command ``sacred-replay``, the same as ``sacred replay``."""
    return _run(replay, "sacred-replay", argv)


def _run(command: click.Command, name: str, argv: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments and command is cli:
        arguments = ["--help"]
    for which in ("stdout", "stderr"):
        if getattr(sys, which) is None:  # closed by whoever started the process
            setattr(sys, which, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        stream = getattr(sys, which)
        if hasattr(stream, "reconfigure"):
            # What a run printed may not fit the encoding of this terminal.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _invoked(command, name, arguments)
        sys.stdout.flush()
        return code
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        path = where.command_path if where is not None else name
        print(f"{name}: {_sentence(error)} ({path} --help tells more)", file=sys.stderr)
        return NOT_LOOKED
    except BrokenPipeError:
        # Whoever read had enough; the interpreter must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (KeyboardInterrupt, click.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(name, error)


def _invoked(command: click.Command, name: str, arguments: list[str]) -> int:
    # Not command.main(): it ends the process itself.
    try:
        with command.make_context(name, arguments) as context:
            code = command.invoke(context)
    except click.exceptions.Exit as stop:  # --help, --version
        return stop.exit_code
    return code if isinstance(code, int) else 0


def _sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _failed(name: str, error: Exception) -> int:
    """Say what went wrong; an error of our own names itself, another is a defect."""
    if os.environ.get("SACRED_DEBUG"):
        import traceback

        traceback.print_exc()
    code = getattr(error, "exit_code", None)
    if isinstance(error, JournalError) or code is not None:
        text = str(error.args[-1]) if error.args else str(error)
        print(f"{name}: {terminal.clean(text)}", file=sys.stderr)
        return int(code or DAMAGED)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        print(f"{name}: {where}{error.strerror or error}", file=sys.stderr)
        return NOT_LOOKED
    text = terminal.clean(f"{type(error).__name__}: {error}")
    print(
        f"{name}: an error in sacred-journal itself, please report it: {text} "
        "(SACRED_DEBUG=1 shows where)",
        file=sys.stderr,
    )
    return DAMAGED
