"""What the commands' own words may be, for a shell that asks: runs, metrics, columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from sacred.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.analysis.words import Candidate
    from sacred.journal.root import JournalRoot

__all__ = ["offer_candidates"]

#: Arguments that name runs.
_RUNS = frozenset({"run", "runs", "a", "b", "words", "arguments"})
#: Options, by their longest spelling, whose values are columns or metrics.
_COLUMNS = frozenset({"-c", "--sort", "--group"})
_METRICS = frozenset({"--metric"})
#: Commands whose runs are not those of the root here.
_ELSEWHERE = frozenset({"import", "merge", "completion"})


class _Offered(click.types.StringParamType):
    """A text of which it is known what it may be."""

    def __init__(self, words: Callable[[JournalRoot, str], list[Candidate]]) -> None:
        self._words = words

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        del param
        from sacred.journal.errors import JournalError
        from sacred.journal.finding import looking_root
        from sacred.replayers.errors import QueryError

        given: Any = ctx.params.get("root")
        if isinstance(given, (tuple, list)):
            given = given[-1] if given else None
        try:
            found = self._words(looking_root(given), incomplete)
        except (JournalError, QueryError, OSError):
            return []  # no root, no runs: nothing is offered, and nothing said below the prompt
        return [
            CompletionItem(each.text, help=terminal.clean(each.about) or None)
            for each in found
            if each.text == terminal.clean(each.text)
        ]


def offer_candidates(command: click.Command) -> click.Command:
    """Let a shell that asks this process complete a command's runs, metrics and columns.

    Parameters
    ----------
    command
        It is changed: for nothing else but completion, after which the process ends.
    """
    from sacred.analysis.words import column_candidates, metric_candidates, run_candidates

    if command.name in _ELSEWHERE:
        return command
    for param in command.params:
        if isinstance(param, click.Argument):
            if param.name in _RUNS:
                param.type = _Offered(run_candidates)
        elif _COLUMNS & {*param.opts}:
            param.type = _Offered(column_candidates)
        elif _METRICS & {*param.opts}:
            param.type = _Offered(metric_candidates)
    return command
