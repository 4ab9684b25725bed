"""``sacred-replay --follow``: the replayer as a service, and its signals."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sacred.cli import terminal
from sacred.cli.options import root_of, say

if TYPE_CHECKING:
    from sacred.cli.replay_plan import Asked, Plan
    from sacred.replayers.daemon import DaemonPlan

__all__ = ["serve_plan"]


def serve_plan(plan: Plan, asked: Asked, *, rebuild: bool) -> int:
    """Replay until SIGINT or SIGTERM; SIGHUP reads the settings again.

    Returns
    -------
    0, 1 if a view failed, 3 if one is behind.
    """
    from sacred.cli.options import root_here
    from sacred.replayers.daemon import Daemon
    from sacred.replayers.errors import ReplayConfigError

    def load() -> DaemonPlan:
        try:
            found = asked.plan()
            again = _service(found)
        except click.UsageError as error:
            raise ReplayConfigError(error.format_message()) from None
        for warning in found.warnings:
            say(terminal.clean(warning))
        return again

    if not plan.roots:
        plan = plan._replace(roots=(str(root_here(None).path),))
        asked = asked._replace(roots=plan.roots)
    with _Signals() as signals:
        daemon = Daemon(_service(plan), load, _line, rebuild=rebuild)
        try:
            pause = 0.0
            while (number := signals.wait(pause)) not in {signal.SIGINT, signal.SIGTERM}:
                if number == getattr(signal, "SIGHUP", None):
                    daemon.reload()
                pause = daemon.step()
        finally:
            if not daemon.stop():
                say("a batch is not through yet: it is written again at the next start")
        return daemon.exit_code


def _service(plan: Plan) -> DaemonPlan:
    from sacred.replayers.daemon import DaemonPlan

    roots = tuple(Path(root_of(root).path) for root in plan.roots)
    return DaemonPlan(roots, plan.views, plan.jobs, plan.health, plan.settings)


def _line(text: str) -> None:
    # In one piece: each view's threads say lines, and print writes the text and the line's end apart.
    sys.stdout.write(f"{terminal.clean(text)}\n")
    sys.stdout.flush()


class _Signals:
    """Signals as they come, one by one; a second one of those that end kills at once."""

    def __enter__(self) -> _Signals:
        self._reader, self._writer = os.pipe()
        self._before: dict[int, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: Any) -> None:
        # A handler may interrupt anything: it takes no lock.
        if number in {signal.SIGINT, signal.SIGTERM}:
            signal.signal(number, signal.SIG_DFL)
        os.write(self._writer, bytes([number]))

    def wait(self, seconds: float) -> int | None:
        """Return a signal that came, or None after some time."""
        ready, _, _ = select.select([self._reader], [], [], seconds)
        return os.read(self._reader, 1)[0] if ready else None

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)
