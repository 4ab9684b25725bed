"""What the commands share: their options, how runs are named to them, how they say things.

Exit codes: 0 done or clean, 1 damaged or failed, 2 wrong use or could not look, 3 a view is behind,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred import terminal
from sacred.__about__ import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sacred.journal.past import Moment
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.listing import RunOutline

__all__ = [
    "DAMAGED",
    "INTERRUPTED",
    "NOT_LOOKED",
    "SETTINGS",
    "about_run",
    "at_option",
    "cache_option",
    "chosen",
    "first_of",
    "force_option",
    "json_option",
    "named_runs",
    "print_lines",
    "print_records",
    "root_of",
    "root_option",
    "runs_of",
    "say",
    "version_option",
    "worst",
    "writing_root",
]

DAMAGED, NOT_LOOKED, INTERRUPTED = 1, 2, 130
#: How many of the things that are wrong with a run are told one by one.
_SHOWN_PROBLEMS = 20
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _given_root(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Return the folder that was named behind the command, else the one that was named before it."""
    if value == "":
        raise click.BadParameter("a folder is needed, not an empty text", ctx, param)
    if value is None and ctx.parent is not None:
        value = ctx.parent.params.get("root")
    return value


#: The group has it, too, so that it may stand before the command.
root_option = click.option(
    "-J",
    "--journal",
    "--root",
    "root",
    metavar="DIR",
    callback=_given_root,
    help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above).",
)


def _given_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> Moment | None:  # noqa: ARG001 - click's signature
    if value is None:
        return None
    from sacred.analysis.moment import moment_of

    return moment_of(value)


at_option = click.option(
    "--at",
    metavar="MOMENT",
    callback=_given_moment,
    help="As it was: '2026-11-23 14:05' (to its end), -10m, '2 hours ago', or the number of an event.",
)
cache_option = click.option(
    "--no-cache",
    "cache",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Read every journal; keep nothing for the next question.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
force_option = click.option(
    "--force", is_flag=True, help="Also what another machine wrote, unseen if it lives."
)
version_option = click.version_option(
    __version__, message="%(prog)s (sacred-journal %(version)s)", help="Show the version."
)


def named_runs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command take the names of runs, or all; ``chosen`` finds them."""
    command = click.option("--all", "everything", is_flag=True, help="Every run of the root.")(
        command
    )
    return click.argument("runs", nargs=-1, metavar="RUN...")(command)


def root_of(given: str | None) -> JournalRoot:
    """Find the root, and say which one it is where that is not plain."""
    from sacred.journal.finding import looking_root

    root = looking_root(given)
    if os.path.abspath(root.path) != os.path.abspath(given or "sacred_runs"):
        say(f"the runs are in {root.path}")
    return root


def writing_root(given: str | None) -> JournalRoot:
    """Return the root into which a program that is started here would write."""
    from sacred.journal.root import DEFAULT_NAME, JournalRoot

    named = given or os.environ.get("SACRED_JOURNAL_ROOT")
    if named:
        root = JournalRoot(named)
        nested = JournalRoot(root.path / DEFAULT_NAME)
        return nested if nested.exists() and not root.exists() else root
    here = JournalRoot(os.getcwd())
    return here if here.exists() else JournalRoot(here.path / DEFAULT_NAME)


def runs_of(given: str | None, texts: Sequence[str]) -> tuple[RunFolder, ...]:
    """Find the runs that were named, or all."""
    from sacred.journal.finding import select_runs

    if texts and all(os.sep in text for text in texts):
        return select_runs(tuple(texts), given)
    return select_runs(tuple(texts), str(root_of(given).path), by_name=_by_name)


def _by_name(root: JournalRoot, text: str) -> RunFolder:
    """Find a run by how its name begins, and say which one it is: few letters may be another's."""
    from sacred.replayers.listing import outline
    from sacred.replayers.run_names import run_by_name
    from sacred.waiting import Waiting

    with Waiting("looking for the run of that name"):
        folder = run_by_name(root, text)
        found = outline(folder)
    say(terminal.clean(f"{text} is {about_run(found)}"))
    return folder


def about_run(found: RunOutline) -> str:
    """Return a run in a line: its number, its name, when it began, what became of it."""
    facts = (found.name, terminal.local_time(found.start) if found.start else None, found.status)
    return terminal.clean(f"run {found.run}: {', '.join(filter(None, facts))}")


def chosen(given: str | None, texts: Sequence[str], everything: bool) -> Iterable[RunFolder]:
    """Find the runs that were named to a command that changes or checks them, or all."""
    if everything == bool(texts):
        verb = click.get_current_context().info_name
        both = ", not both" if texts else ""
        raise click.UsageError(f"name the runs to {verb}, or give --all{both}")
    return root_of(given).runs() if everything else runs_of(given, texts)


def say(text: str) -> None:
    """Tell the person something that is not the result."""
    context = click.get_current_context(silent=True)
    name = context.find_root().info_name if context is not None else None
    print(f"{name or 'sacred'}: {text}\n", end="", file=sys.stderr, flush=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of a result."""
    for line in lines:
        sys.stdout.write(line + "\n")


def first_of(problems: Sequence[str], whole: str) -> list[str]:
    """Return the first problems of many, and where the rest is."""
    if len(problems) <= _SHOWN_PROBLEMS:
        return list(problems)
    more = len(problems) - _SHOWN_PROBLEMS
    return [*problems[:_SHOWN_PROBLEMS], f"and {more:,} more: {whole} has them all"]


def print_records(records: Iterable[dict[str, Any]], *, at_once: bool = False) -> None:
    """Print a JSON array, an element a line; ``at_once`` lets whoever reads see each as it comes."""
    from sacred.replayers.jsontext import to_json

    before = "[\n"
    for record in records:
        sys.stdout.write(before + to_json(record))
        before = ",\n"
        if at_once:
            sys.stdout.flush()
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def worst(codes: Iterable[int]) -> int:
    """Return the exit code for several runs: damage is said before what could not be looked at."""
    found = set(codes)
    return DAMAGED if DAMAGED in found else max(found, default=0)
