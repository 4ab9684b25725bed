"""``sacred-replay --check``: what would be done, and what is wrong with it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sacred.cli import terminal
from sacred.cli.options import NOT_LOOKED, root_of, say, worst

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.cli.replay_plan import Asked, Plan
    from sacred.replayers.sink import SinkSpec

__all__ = ["check_plan"]


def check_plan(asked: Asked, runs: tuple[str, ...], *, connect: bool) -> int:
    """Say what would be done; with ``connect`` open the views, which may make what is not there.

    Returns
    -------
    0, 2 if something is wrong, with ``connect`` 1 and 3 for a view that is refused or not reached.
    """
    from sacred.replayers.errors import ReplayConfigError, SinkError

    try:
        plan = asked.plan()
    except ReplayConfigError as error:
        for problem in error.problems:
            say(terminal.clean(problem))
        return NOT_LOOKED
    except (SinkError, click.UsageError) as error:
        say(terminal.clean(str(error)))
        return NOT_LOOKED
    for warning in plan.warnings:
        say(terminal.clean(warning))
    codes = [0]
    lines = [("settings", str(plan.settings or "none"))]
    lines += _roots(plan, runs, codes)
    width = max(len(name) for name, _ in plan.views)
    for number, (name, spec) in enumerate(plan.views):
        label = f"{name:<{width}}  " if width else ""
        state, code = _looked(spec, connect=connect)
        codes.append(code)
        lines.append(("views" * (not number), f"{label}{spec.name}{state}"))
    lines.append(("jobs", f"{plan.jobs}{' for each view' if plan.follow else ''}"))
    lines.append(("follow", "yes, until SIGTERM" if plan.follow else "no"))
    if plan.health is not None:
        lines.append(("health", _health(plan.health)))
    for name, text in lines:
        print(terminal.clean(f"{name:<8}  {text}"))
    sys.stdout.flush()
    return NOT_LOOKED if NOT_LOOKED in codes else worst(codes)


def _roots(plan: Plan, runs: tuple[str, ...], codes: list[int]) -> Iterator[tuple[str, str]]:
    from sacred.journal.errors import JournalError
    from sacred.journal.root import JournalRoot

    for number, given in enumerate(plan.roots or (None,)):
        try:
            root = root_of(None) if given is None else JournalRoot(given)
            if given is not None and not root.exists():
                root = root_of(given)
            count = len(root.numbers())
            what = f"runs {', '.join(runs)}" if runs else f"{count:,} run{'s' * (count != 1)}"
            text = f"{root.path}  ({what})"
        except JournalError as error:
            codes.append(NOT_LOOKED)
            say(terminal.clean(str(error)))
            text = f"{given or 'none'}  (is no root)"
        yield "roots" * (not number), text


#: Views of which nobody can ask whether they can be written.
_TOLD = frozenset({"slack", "telegram", "webhook", "observer"})


def _looked(spec: SinkSpec, *, connect: bool) -> tuple[str, int]:
    """Return what is to be said of a view, and its exit code."""
    from sacred.replayers.errors import SinkError
    from sacred.replayers.registry import load_sink

    try:
        sink = load_sink(spec)
    except SinkError as error:
        return f"  ({error})", error.exit_code
    try:
        if spec.kind in {"mongo", "sql"} and not spec.url:
            return "  (as each run declared it)", 0
        if connect:
            sink.open()
            if spec.kind in _TOLD:
                return "  (not tried: it can only be told of a run)", 0
            return "  (can be written)", 0
    except SinkError as error:
        return f"  ({error})", error.exit_code
    finally:
        sink.close()
    return "", 0


def _health(text: str) -> str:
    from sacred.replayers.replay_config import health_address

    address = health_address(text)
    return text if address is None else f"http://{address[0]}:{address[1]}/"
