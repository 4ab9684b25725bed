"""Replayers that are killed: real processes, each forked from one that has loaded what they need.

A view is brought up to date by a process of its own, which sends itself SIGKILL at the point that its
order names. Loading Python and a driver takes longer than a replay, so it is done once.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

from sacred.replayers.sinks.chaos import ChaosSink

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from sacred.replayers.sink import Sink, SinkSpec

__all__ = ["KILLED", "KillPoint", "Order", "Replayers", "serve"]

#: What the end of a killed replayer looks like; 0 is one that has brought the view up to date.
KILLED = -signal.SIGKILL
#: A replayer that has not ended by then ends by itself (s).
_PATIENCE = 120
#: Batches are as small as the frames allow, so that there are several.
_BATCH_POINTS = 8


class KillPoint(NamedTuple):
    """Where a replayer is killed.

    Attributes
    ----------
    call
        The number of the call of the sink, from 0: ``open``, ``position``, ...
    after
        How many functions that call has called by then. 0 is before it does anything, -1 when it has
        done all and nobody was told.
    """

    call: int
    after: int


class Order(NamedTuple):
    """What a replayer has to do.

    Attributes
    ----------
    spec
        The view.
    folder
        The run's folder.
    point
        Where it is killed; None if it is not.
    """

    spec: SinkSpec
    folder: str
    point: KillPoint | None = None


class Ending(NamedTuple):
    """How a replayer ended.

    Attributes
    ----------
    code
        0 the view is up to date, 3 it is behind, ``KILLED``, another number is a failure.
    calls
        The calls of the sink that came back, by name, each with how many functions it called; of one
        that ended by itself.
    error
        What the view said, or None.
    """

    code: int
    calls: tuple[tuple[str, int], ...]
    error: str | None


class _DoomedSink(ChaosSink):
    """Counts what each call of a sink calls itself, and ends the process there."""

    def __init__(self, inner: Sink, point: KillPoint | None) -> None:
        super().__init__(inner, ())
        self.point = point
        self.calls: list[tuple[str, int]] = []
        self._number = 0

    def _do(self, call: Any, *arguments: Any) -> Any:
        number, self._number = self._number, self._number + 1
        point = self.point if self.point is not None and self.point.call == number else None
        if point is not None and point.after == 0:
            _die()
        counted = 0

        def count(_frame: FrameType, event: str, _argument: Any) -> None:
            nonlocal counted
            if event in {"call", "c_call"}:
                counted += 1
                if point is not None and counted == point.after:
                    _die()

        sys.setprofile(count)
        try:
            result = call(*arguments)
        finally:
            sys.setprofile(None)
        if point is not None:
            _die()
        self.calls.append((call.__name__, counted))
        return result

    def close(self) -> None:
        self._do(self.inner.close)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Replayers:
    """A process from which replayers are forked; use it as a context manager.

    Raises
    ------
    RuntimeError
        The process ended, or a replayer gave no answer.
    """

    def __enter__(self) -> Replayers:
        program = f"from {__name__} import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        frames: TracebackType | None,
    ) -> None:
        for line in (self._process.stdin, self._process.stdout):
            if line is not None:
                with contextlib.suppress(OSError):
                    line.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def run(self, *orders: Order) -> list[Ending]:
        """Have some replayers work at the same time, each in a process; return how they ended."""
        given = [
            {"spec": one.spec.to_wire(), "folder": one.folder, "point": one.point} for one in orders
        ]
        asked = {"orders": given, "environment": dict(os.environ)}
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the replayers were not started")
        stdin.write(json.dumps(asked).encode() + b"\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError("the process from which replayers are forked ended")
        return [
            Ending(one["code"], tuple((name, count) for name, count in one["calls"]), one["error"])
            for one in json.loads(line)
        ]


def serve() -> None:
    """Fork a replayer for each order that stands on the standard input, until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        os.environ.clear()
        os.environ.update(asked["environment"])
        children = [_fork(order) for order in asked["orders"]]
        endings = [_ending(*child) for child in children]
        for ending in endings:
            _load(ending.pop("modules"))
        sys.stdout.write(json.dumps(endings) + "\n")
        sys.stdout.flush()


def _fork(order: dict[str, Any]) -> tuple[int, int]:
    """Fork a replayer; return its process, and where it says how it went."""
    answer, report = os.pipe()
    child = os.fork()
    if child:
        os.close(report)
        return child, answer
    code = 1
    try:
        os.close(answer)
        signal.alarm(_PATIENCE)
        code, told = _replay(order)
        with os.fdopen(report, "w") as file:
            json.dump(told, file)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _replay(order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    from sacred.journal.root import RunFolder
    from sacred.replayers import follower as following
    from sacred.replayers.copy_follower import follower_for
    from sacred.replayers.registry import load_sink
    from sacred.replayers.sink import SinkSpec

    following.BATCH_POINTS = _BATCH_POINTS
    spec = SinkSpec.from_wire(order["spec"])
    point = KillPoint(*order["point"]) if order["point"] is not None else None
    sink = _DoomedSink(load_sink(spec), point)
    follower = follower_for(RunFolder.at(order["folder"]), sink, spec)
    status = follower.run_once(patience=20.0)
    follower.close()
    code = {"current": 0, "behind": 3}.get(status.state, 1)
    told = {"calls": sink.calls, "error": status.error, "modules": sorted(sys.modules)}
    return code, told


def _ending(child: int, answer: int) -> dict[str, Any]:
    with os.fdopen(answer, "rb") as file:
        content = file.read()
    _, status = os.waitpid(child, 0)
    told: dict[str, Any] = {"calls": [], "error": None, "modules": []}
    if content:
        told = json.loads(content)
    return {"code": os.waitstatus_to_exitcode(status), **told}


def _load(modules: list[str]) -> None:
    """Load what a replayer loaded, so that the next ones have it."""
    import importlib

    for name in modules:
        if name not in sys.modules:
            with contextlib.suppress(Exception):  # a name that stands for no module of its own
                importlib.import_module(name)
