"""The command ``sacred sql``: a prompt for questions in SQL."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sacred.cli import terminal
from sacred.cli.options import (
    INTERRUPTED,
    NOT_LOOKED,
    at_option,
    cache_option,
    print_lines,
    roots_of,
    roots_option,
    say,
)
from sacred.cli.query import answered, print_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.analysis.root_choice import RootChoice
    from sacred.analysis.statement_words import StatementWords
    from sacred.journal.past import Moment

__all__ = ["sql"]

_HELP = """Ask question after question in SQL, at a prompt.

    A statement ends with a semicolon and may have several lines. Each sees the
    runs as they are then. Tab completes tables, columns, metrics, config keys.

    \b
      \\d          the tables               \\x      rows one below the other
      \\d metrics  the columns of one       \\json   rows as JSON
      \\?          this                     \\q      leave (Ctrl-D)

    Ctrl-C gives up a statement or an answer. What comes from a pipe is answered
    without a prompt: echo "from runs;" | sacred sql
    """


@click.command(help=_HELP)
@click.option(
    "--memory", metavar="SIZE", help="What a question may take (else half of the machine's)."
)
@click.option("--files", is_flag=True, help="Let statements read files of this machine.")
@at_option
@cache_option
@roots_option
def sql(
    memory: str | None, files: bool, at: Moment | None, cache: bool, root: tuple[str, ...]
) -> int:
    """Ask question after question in SQL, at a prompt."""
    from sacred.analysis.statement_words import StatementWords

    choice = roots_of(root)
    asking = _Asking(choice, {"memory": memory, "files": files, "at": at, "cache": cache})
    if not sys.stdin.isatty():
        return asking.answer_all(sys.stdin.read())
    words = StatementWords(choice)
    count = sum(len(root.numbers()) for _, root in choice.roots)
    runs = "1 run" if count == 1 else f"{count:,} runs"
    say(f"{runs} in {terminal.clean(choice.title)}; \\? helps, Ctrl-D ends")
    for text in _typed(words):
        if not asking.take(text):
            break
    return 0


class _Shape(NamedTuple):
    """How answers are shown."""

    records: bool = False
    as_json: bool = False


class _Asking:
    """Statements and commands, one after the other, about the runs of a root."""

    def __init__(self, choice: RootChoice, options: dict[str, Any]) -> None:
        self._choice = choice
        self._options = options
        self._shape = _Shape()

    def answer_all(self, text: str) -> int:
        """Answer what came from a pipe; the first error ends it."""
        from sacred.analysis.statement_words import split_statements

        statements, rest = split_statements(text)
        for statement in [*statements, rest] if rest else statements:
            self._answer(statement)
        return 0

    def take(self, text: str) -> bool:
        """Do what was typed; tell whether to go on."""
        from sacred.analysis.statement_words import split_statements

        line = text.strip()
        if line.lower().rstrip(";") in {"\\q", "exit", "quit"}:
            return False
        if line.startswith("\\"):
            self._command(*line.split())
            return True
        statements, rest = split_statements(line)
        for statement in [*statements, rest] if rest else statements:
            if self._tried(statement) != 0:
                break
        return True

    def _tried(self, statement: str) -> int:
        """Answer a statement; an error is told, and is none of the prompt's."""
        from sacred.journal.errors import JournalError
        from sacred.replayers.errors import QueryError

        try:
            self._answer(statement)
        except (QueryError, JournalError) as error:
            said = str(error.args[-1]) if error.args else str(error)
            say(terminal.clean(said))
            return NOT_LOOKED
        except KeyboardInterrupt:
            say("given up")
            return INTERRUPTED
        return 0

    def _answer(self, statement: str) -> None:
        result = answered(statement, self._choice, **self._options)
        print_answer(result, as_json=self._shape.as_json, records=self._shape.records)
        sys.stdout.flush()

    def _command(self, name: str, *arguments: str) -> None:
        from sacred.replayers.relations import RELATIONS

        name = name.lower().rstrip(";")
        if name == "\\d" and not arguments:
            table = terminal.Table(("TABLE", "WHAT"), flexible=("WHAT",))
            for relation in RELATIONS.values():
                table.add(relation.name, relation.doc)
            print_lines(table.lines())
        elif name == "\\d":
            self._describe(arguments[0].rstrip(";"))
        elif name == "\\x":
            self._shape = self._shape._replace(records=not self._shape.records, as_json=False)
            say("rows one below the other" if self._shape.records else "rows as a table")
        elif name == "\\json":
            self._shape = self._shape._replace(as_json=not self._shape.as_json)
            say("rows as JSON" if self._shape.as_json else "rows as a table")
        elif name in {"\\?", "\\h", "\\help"}:
            print_lines(sql.get_help(click.Context(sql, info_name="sql")).splitlines()[2:14])
        else:
            say(f"there is no {terminal.clean(name)}: \\? lists what there is")

    def _describe(self, name: str) -> None:
        from difflib import get_close_matches

        from sacred.replayers.relations import RELATIONS, ROOT

        relation = RELATIONS.get(name.lower())
        if relation is None:
            near = get_close_matches(name.lower(), RELATIONS, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RELATIONS)}"
            say(f"there is no table {terminal.clean(name)}: {hint}")
            return
        table = terminal.Table(("COLUMN", "TYPE", "WHAT"), flexible=("WHAT",))
        if self._choice.several:
            table.add(*ROOT)
        for column in relation.columns:
            table.add(column.name, column.type, column.doc)
        print_lines(table.lines())


def _typed(words: StatementWords) -> Iterator[str]:
    """Yield what is typed, statement by statement."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.key_binding import KeyBindings

    from sacred.analysis.statement_words import split_statements

    class Words(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Completion]:
            del complete_event
            for word in words.at_end_of(document.text_before_cursor):
                yield Completion(word.text, -word.typed, display_meta=word.kind)

    keys = KeyBindings()

    @keys.add("enter")
    def _(event: Any) -> None:
        buffer = event.app.current_buffer
        text = buffer.text.strip()
        # Behind a semicolon, or a command: it is whole.
        whole = text.startswith("\\") or text.lower() in {"exit", "quit", ""}
        if whole or not split_statements(text)[1]:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=Words(),
        complete_while_typing=False,
        multiline=True,
        key_bindings=keys,
        prompt_continuation=lambda width, *_: " " * (width - 2) + "> ",
        enable_open_in_editor=True,
    )
    while True:
        try:
            text = session.prompt("sql> ")
        except KeyboardInterrupt:
            continue  # what was typed is given up
        except EOFError:
            return
        if text.strip():
            yield text


def _history() -> Any:
    """Return what was typed before: a file in the user's own folder, which nobody else may read."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    folder = os.path.join(home, "sacred-journal")
    path = os.path.join(folder, "sql-history")
    with contextlib.suppress(OSError):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
        return FileHistory(path)
    return InMemoryHistory()
