"""The process that writes the views of this process's runs: starting it and talking to it.

It is started by name (``python -m sacred.replayers serve``), never imported. Both sides speak JSON
lines: commands go to its stdin, answers come from its stdout. One process serves all runs and views
of an experiment's process; it lives in a session of its own, so that whatever kills the experiment
leaves it to finish its work.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["Channel", "ClaimAnswer", "ReplayerLink", "ViewState", "replayer_link"]

PROTOCOL = 1
#: A replayer that dies is started again so often, in the life of this process.
RESTARTS = 3


class ClaimAnswer(NamedTuple):
    """What a view said about an id.

    Attributes
    ----------
    id
        The id, or None.
    error
        Why there is none; None too if the view did not answer in time.
    """

    id: Any
    error: str | None = None


class ViewState(NamedTuple):
    """How a view stands to a run, and why.

    ``current``, ``behind`` or, if nobody tries any more, ``failed``.
    """

    state: str
    error: str | None = None


class Channel(Protocol):
    """A way to a replayer."""

    def send(self, line: bytes) -> None:
        """Send a line; OSError if nobody takes it."""
        ...

    def receive(self) -> Iterator[bytes]:
        """Yield lines until the other side is gone."""
        ...

    def alive(self) -> bool:
        """Return whether the other side is there."""
        ...

    def close(self) -> None:
        """Say that no more commands come."""
        ...

    def leave(self) -> None:
        """Let it finish alone: this process ends."""
        ...


class _Run(NamedTuple):
    """A run that views were asked for."""

    command: dict[str, Any]
    views: tuple[str, ...]


class ReplayerLink:
    """Speaks with the replayer of this process and remembers how the views are doing.

    Thread-safe. No method raises because of what the replayer does or does not do.

    Attributes
    ----------
    silent
        Names of views that missed an answer or an end: they are not waited for until they have
        written something.
    """

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self.pid = os.getpid()
        self.silent: set[str] = set()
        self._open_channel = open_channel
        self._channel: Channel | None = None
        self._starts = 0
        self._failure: str | None = None
        self._hello: dict[str, Any] = {}
        self._runs: dict[str, _Run] = {}
        self._claims: dict[int, ClaimAnswer] = {}
        self._abandoned: dict[int, dict[str, Any]] = {}
        self._states: dict[tuple[str, str], ViewState] = {}
        self._reasons: dict[str, str] = {}
        self._declared: dict[str, tuple[Any, Any]] = {}
        self._tickets: dict[int, str] = {}
        self._ticket = 0
        self._changed = threading.Condition(threading.RLock())
        self._sending = threading.Lock()

    # -- the process -----------------------------------------------------------------------------

    def ensure_alive(self, hello: Mapping[str, Any] | None = None) -> bool:
        """Start the replayer if there is none, at most four times; False if there is none then."""
        with self._changed:
            if hello is not None:
                self._hello = dict(hello)
            if self._channel is not None and self._channel.alive():
                return True
            if self._starts > RESTARTS or not self._hello:
                return False
            self._starts += 1
            try:
                channel = self._open_channel()
            except (OSError, ValueError) as error:
                self._failure = f"no replayer can be started: {error}"
                return False
            self._channel = channel
            threading.Thread(
                target=self._listen, args=(channel,), name="sacred-views", daemon=True
            ).start()
            self._send(self._hello)
            for run in self._runs.values():
                self._send(run.command)
            return True

    def _send(self, command: Mapping[str, Any]) -> bool:
        channel = self._channel
        if channel is None:
            return False
        line = json.dumps(command, default=_as_text, separators=(",", ":")).encode() + b"\n"
        with self._sending:
            try:
                channel.send(line)
            except (OSError, ValueError) as error:
                self._failure = f"the replayer process ended ({error})"
                return False
        return True

    def _listen(self, channel: Channel) -> None:
        try:
            for line in channel.receive():
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue
                if isinstance(answer, dict):
                    self._take(answer)
        except (OSError, ValueError):
            pass
        with self._changed:
            if self._channel is channel:
                self._failure = "the replayer process ended; its log says why"
                self._channel = None
                channel.close()
            self._changed.notify_all()

    def _take(self, answer: dict[str, Any]) -> None:
        with self._changed:
            ticket = answer.get("ticket")
            if "state" in answer:
                folder = answer.get("folder") or self._tickets.get(ticket or 0, "")
                state = ViewState(str(answer["state"]), answer.get("error"))
                name = str(answer.get("view"))
                if "ticket" in answer or state.state != "current":
                    self._states[folder, name] = state
                if state.state == "current":
                    self.silent.discard(name)
                    self._reasons.pop(name, None)
                elif state.error:
                    self._reasons[name] = state.error
            elif ticket in self._abandoned:
                release = self._abandoned.pop(ticket)
                if answer.get("id") is not None:
                    self.silent.discard(str(release["view"].get("name")))
                    self._send(release)
            elif isinstance(ticket, int):
                self._claims[ticket] = ClaimAnswer(answer.get("id"), answer.get("error"))
            self._changed.notify_all()

    def _meet(self, view: Mapping[str, Any]) -> None:
        """Forget what a view of this name said, if its address or options were others then.

        Names have no secrets: a view whose password was mended, in a notebook, has the same one.
        """
        name = str(view["name"])
        declared = (view.get("url"), view.get("options"))
        with self._changed:
            if self._declared.setdefault(name, declared) != declared:
                self._declared[name] = declared
                self.silent.discard(name)
                self._reasons.pop(name, None)

    def _next_ticket(self) -> int:
        self._ticket += 1
        return self._ticket

    # -- commands --------------------------------------------------------------------------------

    def claim(
        self,
        view: Mapping[str, Any],
        journal_id: str,
        run_id: Any,
        document: Mapping[str, Any],
        timeout: float,
    ) -> ClaimAnswer:
        """Ask a view for a run's id.

        Returns
        -------
        ClaimAnswer
            Without an id if the view refuses or does not answer within ``timeout`` seconds. An
            answer that comes later is given back by itself.
        """
        name = str(view["name"])
        self._meet(view)
        if name in self.silent:
            return ClaimAnswer(None)
        with self._changed:
            ticket = self._next_ticket()
            command = {
                "do": "claim",
                "ticket": ticket,
                "journal_id": journal_id,
                "view": view,
                "run_id": run_id,
                "document": document,
            }
            if not self._send(command):
                return ClaimAnswer(None, self._failure)
            deadline = time.monotonic() + timeout
            while ticket not in self._claims:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self._channel is None:
                    self.silent.add(name)
                    self._abandoned[ticket] = {
                        "do": "release",
                        "journal_id": journal_id,
                        "view": view,
                    }
                    return ClaimAnswer(None, self._failure if self._channel is None else None)
                self._changed.wait(remaining)
            answer = self._claims.pop(ticket)
            if answer.id is None:
                self.silent.add(name)
                if answer.error:
                    self._reasons[name] = answer.error
            return answer

    def follow(
        self, folder: str, journal_id: str, run_id: Any, views: list[Mapping[str, Any]]
    ) -> None:
        """Have a journal written into views from now on."""
        command = {
            "do": "run",
            "folder": folder,
            "journal_id": journal_id,
            "run_id": run_id,
            "views": views,
        }
        for view in views:
            self._meet(view)
        with self._changed:
            self._runs[folder] = _Run(command, tuple(str(view["name"]) for view in views))
            self._send(command)

    def wait(
        self,
        folder: str,
        position: list[list[Any]],
        timeout: float,
        longer: Mapping[str, float] | None = None,
    ) -> dict[str, ViewState]:
        """Wait until the views of a run have reached a position in its journal.

        Views that kept this process waiting before are asked but not waited for.

        Parameters
        ----------
        folder
            The run's folder.
        position
            Where its journal ends.
        timeout
            For how long (s).
        longer
            Views that are waited for longer, with the seconds: the others do not share that.

        Returns
        -------
        dict
            The state of each view by its name.
        """
        with self._changed:
            run = self._runs.get(folder)
            if run is None:
                return {}
            for name in run.views:
                self._states.pop((folder, name), None)
            self.ensure_alive()
            ticket = self._next_ticket()
            self._tickets[ticket] = folder
            self._send({"do": "wait", "ticket": ticket, "folder": folder, "position": position})
            begun = time.monotonic()
            deadlines = {name: begun + (longer or {}).get(name, timeout) for name in run.views}
            while True:
                states = {name: self._states.get((folder, name)) for name in run.views}
                missing = {
                    name for name, state in states.items() if not state or state.state == "behind"
                }
                last = max((deadlines[name] for name in missing - self.silent), default=0.0)
                remaining = last - time.monotonic()
                if remaining <= 0 or self._channel is None:
                    break
                self._changed.wait(remaining)
            self.silent |= missing
            if not missing:
                self._runs.pop(folder, None)
            return {
                name: state or ViewState("behind", self._reason(name))
                for name, state in states.items()
            }

    def failures(self, folder: str) -> dict[str, str | None]:
        """Return the views of a run that nobody tries to write any more, and why; asks nobody."""
        with self._changed:
            return {
                name: state.error
                for (where, name), state in self._states.items()
                if where == folder and state.state == "failed"
            }

    def _reason(self, name: str) -> str:
        return self._reasons.get(name) or self._failure or "it has not answered yet"

    def leave(self) -> None:
        """Let the replayer go on alone: this process ends."""
        with self._changed:
            channel = self._channel
            if channel is not None and os.getpid() == self.pid:
                channel.close()
                channel.leave()


def _as_text(value: Any) -> Any:
    """Return something that JSON knows for a value that it does not."""
    for method in ("item", "tolist", "isoformat"):
        if hasattr(value, method):
            try:
                return getattr(value, method)()
            except (TypeError, ValueError):
                continue
    if isinstance(value, (set, frozenset)):
        return list(value)
    return str(value)


_link: ReplayerLink | None = None


def replayer_link(root: str, *, in_process: Callable[[], Channel] | None = None) -> ReplayerLink:
    """Return this process's link, with a replayer behind it if there can be one.

    Parameters
    ----------
    root
        The root of journals; the replayer's log lies there.
    in_process
        Opens a channel to a replayer that is a thread of this process: for frozen applications, and
        where no process can be started.
    """
    global _link  # noqa: PLW0603 - one replayer serves the whole process
    if _link is None or _link.pid != os.getpid():
        _link = ReplayerLink(_channel_opener(root, in_process))
        import atexit

        atexit.register(_link.leave)
    from sacred.journal.identity import process_start

    pid = os.getpid()
    _link.ensure_alive(
        {
            "do": "hello",
            "protocol": PROTOCOL,
            "pid": pid,
            "process_start": process_start(pid),
            "root": root,
        }
    )
    return _link


def _channel_opener(root: str, in_process: Callable[[], Channel] | None) -> Callable[[], Channel]:
    def open_channel() -> Channel:
        if getattr(sys, "frozen", False) or not sys.executable:
            if in_process is None:
                raise OSError("this application can start no Python process")
            return in_process()
        from sacred.core.replayer_process import ProcessChannel

        try:
            return ProcessChannel(root)
        except OSError:
            if in_process is None:
                raise
            return in_process()

    return open_channel
