"""The command ``sacred rerun``: the same program, configuration and seed, as a new run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import print_lines, root_option, runs_of, say
from sacred.cli.run import run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.analysis.repetition import Difference, Repetition
    from sacred.journal.root import RunFolder

__all__ = ["rerun", "run_repetition"]

#: Lines of a section that may have any number.
_SHOWN = 20


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("run", metavar="RUN")
@click.option("--force", is_flag=True, help="Also without packages that are missing.")
@click.option(
    "--json", "as_json", is_flag=True, help="The report as JSON, the last line of stdout."
)
@root_option
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTION]...")
def rerun(run: str, force: bool, as_json: bool, root: str | None, options: tuple[str, ...]) -> int:
    """Run a run once more, and tell what came out different.

    \b
      sacred rerun 7
      sacred rerun last -C sys

    It becomes a new run with the same sources, configuration and seed; its meta.rerun_of names the
    old one. The program stored with the run is executed, as you: rerun what you trust. OPTION
    is one of the experiment's own command line, such as -C sys or -m ADDRESS.

    Compared are result, metrics point by point, configuration, artifacts, packages and host. Exit
    code: that of the program; 2 if it can not be run.
    """  # noqa: D301 - click's sign
    from sacred.analysis.repetition import compare_repetition
    from sacred.core.recorded import RecordedRun
    from sacred.core.rerun import check_repeatable, queue_again
    from sacred.core.stored_program import check_environment

    (folder,) = runs_of(root, [run])
    record = RecordedRun(folder)
    check_repeatable(record)
    for difference in check_environment(record, force=force):
        say(terminal.clean(f"run {record.number}: {difference}"))
    again = queue_again(record)
    say(f"run {again.number} repeats run {record.number}")
    code = run_repetition(again, force=force, options=options)
    if code is None:
        return 2
    report = compare_repetition(folder, again)
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json(report.record()), flush=True)
    else:
        print_lines(map(terminal.clean, _lines(report)))
    return code


def run_repetition(again: RunFolder, *, force: bool, options: tuple[str, ...]) -> int | None:
    """Run the queued repetition of a run.

    Returns
    -------
    The exit code of the program; None if it did not come to its beginning: then it is in the trash.
    """
    from sacred.core.recorded import RecordedRun
    from sacred.journal.liveness import Liveness

    try:
        code = run_program(RecordedRun(again), ["--force"] * force, options)
    except BaseException:
        _put_away(again)
        raise
    if RecordedRun(again).state is Liveness.QUEUED:
        _put_away(again)
        return None
    return code


def _put_away(again: RunFolder) -> None:
    from sacred.journal.errors import JournalError
    from sacred.journal.trash import remove

    try:
        remove(again)
    except (JournalError, OSError) as error:
        say(terminal.clean(f"run {again.number} stays queued: {error}"))
    else:
        say(f"run {again.number} did not begin, and is in the trash")


def _lines(report: Repetition) -> Iterator[str]:
    title = f"run {report.again} repeats run {report.run}: "
    yield title + ("the same, bit for bit" if report.is_same else "it came out different")
    yield from _section("outcome", report.outcome)
    same = [metric for metric in report.metrics if metric.is_same]
    if same:
        names = ", ".join(metric.name for metric in same[:_SHOWN])
        more = f" and {len(same) - _SHOWN} more" if len(same) > _SHOWN else ""
        yield f"  metrics that are the same: {names}{more}"
    others = [metric for metric in report.metrics if not metric.is_same]
    for metric in others[:_SHOWN]:
        counts = f"{metric.points_before:,} points"
        if metric.points_now != metric.points_before:
            counts += f" -> {metric.points_now:,}"
        first = f"first at step {_text(metric.step)}: {_change(metric.before, metric.now)}"
        last = f"last {_change(metric.last_before, metric.last_now)}"
        yield f"  metric {metric.name}: {counts}; {first}; {last}"
    if len(others) > _SHOWN:
        yield f"  and {len(others) - _SHOWN} more metrics: --json has them all"
    for name in ("artifacts", "config", "dependencies", "host"):
        yield from _section(name, getattr(report, name))
    took = [terminal.duration_text(seconds) or "?" for seconds in report.seconds]
    yield f"  took {took[0]}, now {took[1]}"


def _section(name: str, differences: tuple[Difference, ...]) -> Iterator[str]:
    for each in differences[:_SHOWN]:
        before, now = each.before, each.now
        if name == "artifacts":  # digests of the contents
            before, now = (known and f"content {known[:12]}" for known in (before, now))
        yield f"  {name} {each.name}: {_change(before, now)}"
    if len(differences) > _SHOWN:
        yield f"  and {len(differences) - _SHOWN} more of {name}: --json has them all"


def _change(before: Any, now: Any) -> str:
    return f"{_text(before)} -> {_text(now)}"


def _text(value: Any) -> str:
    from sacred.replayers.jsontext import to_json

    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else to_json(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
