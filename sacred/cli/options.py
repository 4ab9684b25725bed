"""What the commands share: their options, how runs are named to them, how they say things.

Exit codes: 0 done or clean, 1 damaged or failed, 2 wrong use or could not look, 3 a view is behind,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from sacred.__about__ import __version__
from sacred.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sacred.analysis.root_choice import RootChoice
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
    "chosen_among",
    "first_of",
    "force_option",
    "json_option",
    "named_runs",
    "print_lines",
    "print_records",
    "root_of",
    "root_option",
    "roots_of",
    "roots_option",
    "runs_among",
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


def _given_roots(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the folders that were named behind the command, else those named before it."""
    if "" in value:
        raise click.BadParameter("a folder is needed, not an empty text", ctx, param)
    if not value and ctx.parent is not None:
        value = ctx.parent.params.get("root") or ()
    return value


def _given_root(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str | None:
    """Return the one folder that was named."""
    named = _given_roots(ctx, param, value)
    if len({os.path.realpath(name) for name in named}) > 1:
        raise click.UsageError(
            f"{ctx.info_name} is about the runs of one root: give --root once "
            f"(ls, query, sql, compare and export take several)"
        )
    return named[0] if named else None


_ROOT_NAMES = ("-J", "--journal", "--root", "root")
root_option = click.option(
    *_ROOT_NAMES,
    metavar="DIR",
    multiple=True,
    callback=_given_root,
    help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above).",
)
#: The group has it, too, so that it may stand before the command.
roots_option = click.option(
    *_ROOT_NAMES,
    metavar="DIR",
    multiple=True,
    callback=_given_roots,
    help="The folder of the runs (else $SACRED_JOURNAL_ROOT, ./sacred_runs or one above); "
    "repeated: the runs of several.",
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


def roots_of(given: tuple[str, ...], texts: Sequence[str] = ()) -> RootChoice:
    """Find the roots of a command that takes several, and say which they are where that is not plain.

    Runs that are named by paths alone (``texts``) need no root around them.
    """
    from sacred.analysis.root_choice import NamedRoot, RootChoice

    if texts and not given and all(os.sep in text for text in texts):
        from sacred.journal.root import RunFolder

        root = RunFolder.at(texts[0]).root
        return RootChoice([NamedRoot(str(root.path), root)], several=False)
    if len(given) < 2:
        return RootChoice.of(root_of(given[0] if given else None))
    choice = RootChoice.of(given)
    for name, root in choice.roots:
        if os.path.abspath(root.path) != os.path.abspath(name):
            say(terminal.clean(f"the runs of {name} are in {root.path}"))
    return choice


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


def root_here(given: str | None) -> JournalRoot:
    """Find a root; one that lies above this folder, and so may be somebody else's, is named."""
    place = root_of(given)
    if given is None and "SACRED_JOURNAL_ROOT" not in os.environ and _is_above(place):
        raise click.UsageError(
            f"the runs here are those of {place.path}, above this folder: "
            f"to replay them, say so with --root {place.path}"
        )
    return place


def _is_above(root: JournalRoot) -> bool:
    """Tell whether a root is neither this folder nor in it: somebody else's, perhaps."""
    here = os.getcwd()
    return os.path.commonpath([here, root.path]) != here


def runs_of(given: str | None, texts: Sequence[str]) -> tuple[RunFolder, ...]:
    """Find the runs that were named, or all."""
    from sacred.journal.finding import select_runs

    if texts and all(os.sep in text for text in texts):
        return select_runs(tuple(texts), given)
    return select_runs(tuple(texts), str(root_of(given).path), by_name=_by_name)


def runs_among(choice: RootChoice, texts: Sequence[str]) -> tuple[RunFolder, ...]:
    """Find the runs of some roots that were named, each once."""
    found = [choice.find(text, by_name=_by_name) for text in texts]
    return tuple({folder.path: folder for folder in found}.values())


def _by_name(root: JournalRoot, text: str) -> RunFolder:
    """Find a run by how its name begins, and say which one it is: few letters may be another's."""
    from sacred.cli.waiting import Waiting
    from sacred.replayers.listing import outline
    from sacred.replayers.run_names import run_by_name

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
    _check_chosen(texts, everything)
    return root_of(given).runs() if everything else runs_of(given, texts)


def chosen_among(choice: RootChoice, texts: Sequence[str], everything: bool) -> Sequence[RunFolder]:
    """Do so for a command that takes several roots."""
    _check_chosen(texts, everything)
    return choice.folders() if everything else runs_among(choice, texts)


def _check_chosen(texts: Sequence[str], everything: bool) -> None:
    if everything == bool(texts):
        verb = click.get_current_context().info_name
        both = ", not both" if texts else ""
        raise click.UsageError(f"name the runs to {verb}, or give --all{both}")


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
