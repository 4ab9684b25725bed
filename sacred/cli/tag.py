"""The commands that say something of runs: ``sacred tag`` and ``sacred note``."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import (
    NOT_LOOKED,
    json_option,
    print_records,
    root_of,
    root_option,
    runs_of,
    say,
)

if TYPE_CHECKING:
    from sacred.journal.root import RunFolder

__all__ = ["note", "tag"]

_TAG_HELP = """Tag runs, take tags away, list them.

\b
sacred tag                     every tag, and how many runs have it
sacred tag 57                  the tags of run 57
sacred tag 57 good             add one
sacred tag 57 58 good -draft   add and take away, of several runs
sacred tag last +2024          a tag that looks like a run needs the +

The first word is a run. Tags lie beside the run's journal, which stays as it is, and go to
views whose clients show them (Omniboard) with the next replay.
"""

_NOTE_HELP = """Write the note of a run, or read it.

\b
sacred note 57 "see run 61"    write it, in the place of the one before
sacred note 57 - < file        as it comes on stdin
sacred note 57                 write it with $EDITOR; without a terminal, print it

Notes lie beside the run's journal, which stays as it is, and go to views whose clients show
them (Omniboard) with the next replay.
"""

#: What names a run wherever it stands; the first word is one, whatever it is.
_RUN = re.compile(r"[1-9][0-9]*\Z|last(~[0-9]+)?\Z|id:|.*/")
#: The options of ``sacred tag``: what else begins with a dash is a tag to be removed.
_WITH_VALUE = frozenset({"-J", "--journal", "--root"})


class _Words(click.Command):
    """A command of which ``-bad`` is no option ``-b``: a tag is taken away with a dash in front."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the options first, and whatever else there is behind ``--``."""
        options: list[str] = []
        words: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                words += rest
            elif arg in _WITH_VALUE:
                options += [arg, *[value for _, value in zip("1", rest, strict=False)]]
            elif arg.startswith("--") or arg == "-h":
                options.append(arg)
            else:
                words.append(arg)
        return super().parse_args(ctx, [*options, "--", *words])


@click.command(cls=_Words, help=_TAG_HELP)
@click.argument("words", nargs=-1, metavar="[RUN]... [[+]TAG]... [-TAG]...")
@json_option
@root_option
def tag(words: tuple[str, ...], as_json: bool, root: str | None) -> int:
    """Tag runs, take tags away, list them."""
    from sacred.analysis.annotation import annotations_of, change_tags, tag_counts

    runs, add, remove = _sorted(words)
    if not runs:
        if add or remove:
            raise click.UsageError("name the run first: sacred tag RUN good")
        counts = tag_counts(root_of(root))
        if as_json:
            print_records({"tag": name, "runs": count} for name, count in counts.items())
            return 0
        table = terminal.Table(("TAG", "RUNS"), right=("RUNS",), flexible=("TAG",))
        for name, count in counts.items():
            table.add(name, str(count))
        _show(table)
        return 0
    folders = runs_of(root, runs)
    found: list[tuple[RunFolder, tuple[str, ...]]] = []
    lacked, known = list(dict.fromkeys(tag.strip() for tag in remove)), set[str]()
    for folder in folders:
        if not (add or remove):
            found.append((folder, annotations_of(folder).tags))
            continue
        changed = change_tags(folder, add, remove)
        found.append((folder, changed.tags))
        known.update(changed.tags)
        lacked = [name for name in lacked if name in changed.lacked]
    for name in lacked:
        which = f"run {_name(folders[0])} lacks" if len(folders) == 1 else "all of these runs lack"
        say(terminal.clean(f"{which} the tag {name}{_near(name, known)}"))
    if as_json:
        print_records({"run": f.number, "path": str(f.path), "tags": list(t)} for f, t in found)
        return 0
    table = terminal.Table(("RUN", "TAGS"), right=("RUN",), flexible=("TAGS",))
    for folder, tags in found:
        table.add(_name(folder), ", ".join(tags))
    _show(table)
    return 0


def _sorted(words: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """Return what names runs, and the tags to be added and to be taken away."""
    runs: list[str] = []
    add: list[str] = []
    remove: list[str] = []
    for number, word in enumerate(words):
        if word[:1] in {"+", "-"}:
            (add if word[0] == "+" else remove).append(word[1:])
        elif (number == 0 or _RUN.match(word)) and not (add or remove):
            runs.append(word)
        elif _RUN.match(word):
            raise click.UsageError(f"name the runs first, then the tags: +{word} if it is a tag")
        else:
            add.append(word)
    return runs, add, remove


def _near(name: str, tags: set[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, tags, 1)
    return f": did you mean {near[0]}?" if near else ""


def _name(folder: RunFolder) -> str:
    return str(folder.path if folder.number is None else folder.number)


def _show(table: terminal.Table) -> None:
    aligned = terminal.is_terminal()
    for line in table.lines(aligned=aligned, width=terminal.columns() if aligned else 1 << 20):
        print(line)


@click.command(help=_NOTE_HELP)
@click.argument("run")
@click.argument("text", required=False)
@click.option("--clear", is_flag=True, help="Take the note away.")
@root_option
def note(run: str, text: str | None, clear: bool, root: str | None) -> int:
    """Write the note of a run, or read it."""
    from sacred.analysis.annotation import annotations_of, set_note

    if clear and text is not None:
        raise click.UsageError("a text or --clear, not both")
    (folder,) = runs_of(root, [run])
    if text is None and not clear:
        before = annotations_of(folder).notes
        if not (terminal.is_terminal() and terminal.is_terminal(sys.stdin)):
            for line in (before or "").splitlines():
                print(terminal.clean(line))
            return 0
        text = click.edit(before or "", extension=".md")
        if text is None:
            say("nothing was saved: the note stays as it was")
            return NOT_LOOKED if before is None else 0
    elif text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    elif text is not None and not text.strip():
        raise click.UsageError("an empty text is no note: --clear takes it away")
    changed = set_note(folder, None if clear else text)
    if terminal.is_terminal():
        say(f"run {_name(folder)}: {'written' if changed else 'the note is that already'}")
    return 0
