"""The replayer process of an experiment's process: it writes the views of all its runs.

Commands come as JSON lines, answers go out as JSON lines (the module ``sacred.core.launch`` has the
other side). It outlives the experiment's process: when that is gone, it goes on until everything
the journals hold is in the views, ten minutes at most.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from sacred.journal.errors import JournalError
from sacred.journal.identity import process_start
from sacred.journal.position import Position
from sacred.journal.root import RunFolder
from sacred.journal.watch import FolderWatch
from sacred.replayers.claims import CLAIM_LIFE, claimed_fields
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import SinkError, TransientSinkError
from sacred.replayers.memo import ViewMemo
from sacred.replayers.place_mark import PlaceGuards
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import RunKey, SinkSpec
from sacred.replayers.status import ViewStatus
from sacred.replayers.view_lock import give_back_view, take_view

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.replayers.follower import Follower

__all__ = ["Service", "serve"]

log = logging.getLogger("sacred.replayers")

PROTOCOL = 1
#: After the experiment's process and its last run have ended, views are tried for so long (s).
LAST_EFFORT = 600.0
#: A run that has ended and is written is let go after so long; it is taken up again if asked (s).
REST_AFTER = 5.0
_TICK = 0.2
_DYING = 5.0


class _View:
    """One run in one view: a follower in a thread of its own."""

    def __init__(self, service: Service, folder: RunFolder, spec: SinkSpec) -> None:
        self.service = service
        self.folder = folder
        self.spec = spec
        self.status = ViewStatus("behind", None, None, Position())
        self.told: str | None = None
        self.rounds_wanted = 0
        self.changed = time.monotonic()
        self.follower: Follower | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Follow, unless it is being done."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop = threading.Event()
        ViewMemo.expect(self.folder.views, self.spec)
        try:
            self.follower = follower_for(
                *(self.folder, load_sink(self.spec), self.spec),
                on_status=self._on_status,
                place=self.service.places.of(self.folder.root, self.spec),
            )
        except SinkError as error:
            ViewMemo.expect(self.folder.views, self.spec, str(error))
            self._on_status(ViewStatus.failed(str(error)))
            return
        self._thread = threading.Thread(
            target=self._run, args=(self.follower,), name=f"view-{self.spec.name}", daemon=True
        )
        self._thread.start()

    def _run(self, follower: Follower) -> None:
        # A service leaves the run to its own process's replayer; one that was faster goes on, too.
        mine = take_view(self.folder, self.spec.key)
        try:
            self.service.clear_claims(follower, self.spec)
            follower.follow(self._stop, self.service.watch)
            self._look_at_place(follower)
        except Exception:
            log.exception("%s -> %s: stopped by a defect", self.folder.path, self.spec.name)
            self._on_status(ViewStatus.failed("a defect stopped the replayer; its log says more"))
        finally:
            follower.close()
            if mine:
                give_back_view(self.folder, self.spec.key)

    def _look_at_place(self, follower: Follower) -> None:
        """Count up in the view's place: a backup that is older than this run is one from now on."""
        place = self.service.places.of(self.folder.root, self.spec)
        if place.is_due and follower.reached:
            try:
                place.look(follower.sink)
            except SinkError as error:
                log.info("%s: not looked at: %s", self.spec.name, error)

    def _on_status(self, status: ViewStatus) -> None:
        if (status.state, status.position) != (self.status.state, self.status.position):
            self.changed = time.monotonic()
        self.status = status
        self.service.view_changed(self)

    @property
    def resting(self) -> bool:
        """Whether nobody works at it."""
        return self._thread is None or not self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether nobody tries any more."""
        return self.status.state == "failed"

    @property
    def ended(self) -> bool:
        """Whether the journal says that the run ended."""
        return self.follower is not None and self.follower.ended

    @property
    def vanished(self) -> bool:
        """Whether somebody deleted the run: there is nothing left to write."""
        return not self.folder.journal.is_dir()

    def finished(self) -> bool:
        """Whether everything was written since ``finish`` was called."""
        if self.failed or self.follower is None:
            return True
        if self.vanished:
            return True
        done = self.status.state == "current" and self.follower.rounds > self.rounds_wanted
        return done or (self.resting and self.status.state == "current")

    def finish(self) -> None:
        """Have everything written, and count it as finished only when that was done from now on."""
        if self.follower is not None:
            self.rounds_wanted = self.follower.rounds + 1
            self.ask()

    def ask(self) -> None:
        """Have everything written now."""
        self.start()
        if self.follower is not None:
            self.follower.ask()

    def stop(self) -> None:
        """Stop following after what is there was written."""
        self._stop.set()
        if self.follower is not None:
            self.follower.wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(timeout)


class _Wait:
    """Somebody who waits until the views of a run stand at a position."""

    def __init__(self, ticket: Any, folder: str, position: Position, views: list[_View]) -> None:
        self.ticket = ticket
        self.folder = folder
        self.position = position
        self.views = views
        self.told_behind: set[str] = set()


class Service:
    """Takes commands, follows runs, gives answers.

    Parameters
    ----------
    send
        Takes an answer as a line of bytes; it must not block, and may be called from any thread.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self.watch = FolderWatch()
        self.places = PlaceGuards()
        self._send_line = send
        self._lock = threading.RLock()
        self._views: dict[tuple[str, str], _View] = {}
        self._waits: list[_Wait] = []
        self._claims: dict[tuple[str, str], tuple[float, SinkSpec]] = {}
        #: Journals and the names of views into which they are written: claims of these stay.
        self._followed: set[tuple[str, str]] = set()
        self._cleared: set[str] = set()
        self._pid: int | None = None
        self._process_start: float | None = None
        self._closing: float | None = None
        self._tick = threading.Event()

    # -- commands ------------------------------------------------------------------------------

    def command(self, line: bytes) -> None:
        """Do what a line says; one that is not understood is logged."""
        try:
            command = json.loads(line)
            handler = getattr(self, f"_do_{command['do']}")
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("a command that is none: %r", line[:200] if b"://" not in line else "...")
            return
        try:
            handler(command)
        except (SinkError, JournalError, KeyError, TypeError, ValueError) as error:
            log.warning("%s: %s: %s", command.get("do"), type(error).__name__, error)
            if command.get("ticket") is not None:
                self._send({"ticket": command["ticket"], "error": str(error), "transient": False})

    def end_of_commands(self) -> None:
        """No more commands come: the experiment's process is gone, or done."""
        if self._closing is None:
            self._closing = time.monotonic()
        self._tick.set()

    def _send(self, answer: dict[str, Any]) -> None:
        self._send_line(json.dumps(answer, default=str, separators=(",", ":")).encode() + b"\n")

    def _do_hello(self, command: dict[str, Any]) -> None:
        if command.get("protocol") != PROTOCOL:
            log.warning("the experiment speaks protocol %s", command.get("protocol"))
        self._pid = command.get("pid")
        self._process_start = command.get("process_start")
        log.info("serving process %s, root %s", self._pid, command.get("root"))

    def _do_claim(self, command: dict[str, Any]) -> None:
        spec = SinkSpec.from_wire(command["view"])
        thread = threading.Thread(target=self._claim, args=(command, spec), daemon=True)
        thread.start()

    def _claim(self, command: dict[str, Any], spec: SinkSpec) -> None:
        ticket, journal_id = command.get("ticket"), str(command["journal_id"])
        sink = None
        try:
            sink = load_sink(spec)
            sink.open()
            fields = claimed_fields(command.get("document") or {})
            given = sink.claim(RunKey(journal_id, command.get("run_id"), fields))
            with self._lock:
                if (journal_id, spec.name) not in self._followed:
                    deadline = time.monotonic() + CLAIM_LIFE
                    self._claims[journal_id, spec.name] = (deadline, spec)
            log.info("%s: journal %s is run %s", spec.name, journal_id, given)
            self._send({"ticket": ticket, "id": given})
            self._clear_claims(sink, spec)
        except SinkError as error:
            log.warning("%s: no id: %s", spec.name, error)
            transient = isinstance(error, TransientSinkError)
            self._send({"ticket": ticket, "error": str(error), "transient": transient})
        except Exception as error:
            log.exception("%s: no id", spec.name)
            text = f"{spec.name}: {type(error).__name__}"
            self._send({"ticket": ticket, "error": text, "transient": False})
        finally:
            if sink is not None:
                sink.close()

    def _do_release(self, command: dict[str, Any]) -> None:
        spec = SinkSpec.from_wire(command["view"])
        journal_id = str(command["journal_id"])
        with self._lock:
            self._claims.pop((journal_id, spec.name), None)
            if (journal_id, spec.name) in self._followed:
                # The run may be half written under this id, which another run would get now.
                return
        threading.Thread(target=self._release, args=(journal_id, spec), daemon=True).start()

    def _release(self, journal_id: str, spec: SinkSpec) -> None:
        try:
            sink = load_sink(spec)
            try:
                sink.open()
                if sink.release(RunKey(journal_id)):
                    log.info("%s: the claim of journal %s was taken back", spec.name, journal_id)
            finally:
                sink.close()
        except SinkError as error:
            log.warning("%s: a claim stays: %s", spec.name, error)

    def clear_claims(self, follower: Follower, spec: SinkSpec) -> None:
        """Take back, once for each view, what processes that are gone left claimed."""
        try:
            follower.sink.open()
        except SinkError:
            return
        self._clear_claims(follower.sink, spec)

    def _clear_claims(self, sink: Any, spec: SinkSpec) -> None:
        with self._lock:
            if spec.key in self._cleared:
                return
            self._cleared.add(spec.key)
        try:
            cleared = sink.clear_claims(CLAIM_LIFE)
            if cleared:
                log.info("%s: %d claims of ended processes were taken back", spec.name, cleared)
        except SinkError as error:
            log.warning("%s: old claims stay: %s", spec.name, error)

    def _do_run(self, command: dict[str, Any]) -> None:
        folder = RunFolder.at(command["folder"])
        journal_id = str(command.get("journal_id"))
        log.info("%s: run %s", folder.path, command.get("run_id"))
        with self._lock:
            for wire in command.get("views") or ():
                spec = SinkSpec.from_wire(wire)
                self._claims.pop((journal_id, spec.name), None)
                self._followed.add((journal_id, spec.name))
                key = (str(folder.path), spec.name)
                if key not in self._views:
                    self._views[key] = _View(self, folder, spec)
                self._views[key].start()
        self._tick.set()

    def _do_wait(self, command: dict[str, Any]) -> None:
        folder = str(RunFolder.at(command["folder"]).path)
        position = Position.from_wire(command.get("position"))
        with self._lock:
            views = [view for (where, _), view in self._views.items() if where == folder]
            wait = _Wait(command.get("ticket"), folder, position, views)
            self._waits.append(wait)
        for view in views:
            view.ask()
            self.view_changed(view)

    # -- what followers say --------------------------------------------------------------------

    def view_changed(self, view: _View) -> None:
        """Answer those who wait for a view, and say it when it fails or is well again."""
        status = view.status
        with self._lock:
            for wait in list(self._waits):
                if view not in wait.views:
                    continue
                if status.state == "current" and not status.position.behind(wait.position):
                    wait.views.remove(view)
                    self._answer(wait, view, "current", None)
                elif view.failed:  # nobody tries any more: nothing to wait for
                    wait.views.remove(view)
                    self._answer(wait, view, "failed", status.error)
                elif status.error and view.spec.name not in wait.told_behind:
                    wait.told_behind.add(view.spec.name)
                    self._answer(wait, view, "behind", status.error)
                if not wait.views:
                    self._waits.remove(wait)
            if status.error != view.told:
                known, view.told = view.told, status.error
                if status.error is None or known is None:
                    self._tell(view)
        self._tick.set()

    def _answer(self, wait: _Wait, view: _View, state: str, error: str | None) -> None:
        answer = {"ticket": wait.ticket, "view": view.spec.name, "state": state}
        self._send(answer if error is None else {**answer, "error": error})

    def _tell(self, view: _View) -> None:
        answer = {"view": view.spec.name, "folder": str(view.folder.path)}
        if view.status.error is None:
            self._send({**answer, "state": "current"})
        else:
            state = "failed" if view.failed else "behind"
            self._send({**answer, "state": state, "error": view.status.error})

    # -- life ----------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until the experiment's process is gone and everything is written.

        Returns
        -------
        0, or 3 if a view is behind.
        """
        try:
            self._serve()
            return self._finish()
        finally:
            self._stop_all()
            self.watch.close()

    def _serve(self) -> None:
        while self._closing is None:
            self._tick.wait(_TICK * 5)
            self._tick.clear()
            self._housekeeping()
            if self._pid is not None and not self._process_lives():
                # The pipe may be held open by a fork: the process itself counts.
                log.info("process %s is gone", self._pid)
                self.end_of_commands()

    def _process_lives(self) -> bool:
        if self._pid is None:
            return False
        return process_start(self._pid) == self._process_start

    def _housekeeping(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [key for key, (deadline, _) in self._claims.items() if now > deadline]
            expired = [(key[0], self._claims.pop(key)[1]) for key in late]
            views = list(self._views.values())
        for journal_id, spec in expired:
            log.info("%s: no journal %s came for its claim", spec.name, journal_id)
            threading.Thread(target=self._release, args=(journal_id, spec), daemon=True).start()
        for view in views:
            rests = view.ended and view.status.state == "current" and not view.resting
            if rests and now - view.changed > REST_AFTER:
                view.stop()

    def _finish(self) -> int:
        """Write everything that the journals of this process's runs hold."""
        began = time.monotonic()
        while self._process_lives() and time.monotonic() - began < _DYING:
            # It closed its pipe a moment before it ended: what it leaves is known after that.
            if self._all_ended() and all(view.finished() for view in self._snapshot()):
                break
            time.sleep(_TICK / 4)
        while self._process_lives() and not self._all_ended():
            self._tick.wait(_TICK * 5)
            self._tick.clear()
            self._housekeeping()
        for view in self._snapshot():
            view.finish()
        deadline = time.monotonic() + LAST_EFFORT
        while time.monotonic() < deadline:
            if all(view.finished() for view in self._snapshot()):
                break
            self._tick.wait(_TICK)
            self._tick.clear()
        for key in list(self._claims):
            self._release(key[0], self._claims.pop(key)[1])
        behind = [view for view in self._snapshot() if view.status.state != "current"]
        for view in behind:
            log.warning("%s -> %s: left behind", view.folder.path, view.spec.name)
        log.info("done")
        return 3 if behind else 0

    def _snapshot(self) -> list[_View]:
        with self._lock:
            return list(self._views.values())

    def _all_ended(self) -> bool:
        return all(view.ended or view.failed or view.vanished for view in self._snapshot())

    def _stop_all(self) -> None:
        views = self._snapshot()
        for view in views:
            view.stop()
        for view in views:
            view.join(5.0)


class _Output:
    """Lines to a pipe that may be full, or have nobody at its other end."""

    _LIMIT = 1 << 20

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._lock = threading.Lock()
        if hasattr(os, "set_blocking"):
            os.set_blocking(descriptor, False)

    def send(self, line: bytes) -> None:
        with self._lock:
            if self._descriptor < 0:
                return
            if len(self._rest) < self._LIMIT:
                self._rest += line
            self._flush()

    def flush(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                self._flush()

    def _flush(self) -> None:
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BlockingIOError:
            return  # with the next line, or the next tick
        except OSError:
            self._descriptor = -1  # nobody listens: the views are written all the same


def serve(reader: BinaryIO, writer: BinaryIO) -> int:
    """Serve one experiment's process.

    Parameters
    ----------
    reader
        Commands come from its descriptor until its end.
    writer
        Answers go to its descriptor, which must not block; nobody needs to read them.

    Returns
    -------
    0, or 3 if a view is behind.
    """
    output = _Output(writer.fileno())
    service = Service(output.send)
    descriptor = reader.fileno()

    def read() -> None:
        # In pieces: a configuration of 20 MB is one line, and who sends it waits.
        begun: list[bytes] = []
        while True:
            try:
                data = os.read(descriptor, 65536)
            except OSError:
                data = b""
            if not data:
                service.end_of_commands()
                return
            *ended, rest = data.split(b"\n")
            for part in ended:
                line = b"".join([*begun, part])
                begun.clear()
                if line.strip():
                    service.command(line)
            if rest:
                begun.append(rest)
            output.flush()

    threading.Thread(target=read, name="commands", daemon=True).start()
    return service.run()
