"""The sink of a view of objects, whichever store they lie in.

``<id>/.journal/position.json`` says where a run stands, and is put twice by a batch that changes a
document: first with another ``turn``, then, last of all, with the new position. Each put names the
version that was read, so a replayer that knows less is refused at its first one (decision 14). A
batch behind ``take_up`` puts it once: the claim was its turn, and nobody has put anything else yet.
"""

from __future__ import annotations

import contextlib
import copy
import json
import secrets
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.position import Position
from sacred.replayers.errors import SinkError, ViewMovedError
from sacred.replayers.objects.files import StoredFiles
from sacred.replayers.objects.marks import MarkObjects
from sacred.replayers.objects.points import new_points
from sacred.replayers.objects.runs import ObjectRuns, json_object
from sacred.replayers.objects.store import ABSENT, ObjectConflictError
from sacred.replayers.sink import (
    Batch,
    FieldsChanged,
    FileEntry,
    OutputChanged,
    RunKey,
    SinkSpec,
    ViewPosition,
)
from sacred.replayers.tree.documents import (
    changed_run,
    json_document,
    metrics_document,
    run_fields,
)
from sacred.replayers.tree.position import view_position

if TYPE_CHECKING:
    from sacred.replayers.objects.runs import RunObjects
    from sacred.replayers.objects.store import ObjectStore

__all__ = ["ObjectSink"]

_POSITION = ".journal/position.json"
_PARTS = ".journal/points/"
#: ``metrics.json`` goes with every batch up to so many points, then when it grew by a twentieth.
_SMALL_POINTS = 4096
_SHARE = 20
#: So many objects of a run are put at the same time, beside the one that this thread puts.
_AT_ONCE = 3


class ObjectSink:
    """Writes runs as objects below a prefix of a bucket.

    Options: ``source_dir``, ``resource_dir``, names below the bucket.

    Parameters
    ----------
    spec
        The view; its address is ``scheme://bucket/prefix``.
    store
        The bucket.
    """

    rewrites: frozenset[str] = frozenset({"output", "points", "rendered"})
    takes_unasked = True

    def __init__(self, spec: SinkSpec, store: ObjectStore) -> None:
        self.spec = spec
        base = spec.url.partition("://")[2].partition("/")[2]
        self.base = f"{base}/" if base and not base.endswith("/") else base
        self._store = store
        self._runs = ObjectRuns(store, self.base)
        self._files = StoredFiles(store, self.base, spec.options)
        self._states: dict[str, RunObjects] = {}
        #: Put objects beside each other; none before there are two.
        self._workers: ThreadPoolExecutor | None = None
        self._marks = MarkObjects(store, f"{self.base}.journal/marks/")

    # -- the place -----------------------------------------------------------------------------

    def open(self) -> None:
        """Look that the bucket is there."""
        self._states.clear()
        self._files.forget()
        self._store.open()

    def close(self) -> None:
        """Give the connection back."""
        self._states.clear()
        workers, self._workers = self._workers, None
        if workers is not None:
            workers.shutdown()
        with contextlib.suppress(SinkError):  # a mark that stays costs the next replayer a listing
            self._runs.end()
        self._store.close()

    def marked(self, owner: str) -> int:
        """Return the number that a root left here: see ``MarkedSink``."""
        return self._marks.get(owner)

    def mark(self, owner: str, number: int) -> None:
        """Leave a number here."""
        self._marks.raise_to(owner, number)

    # -- ids -----------------------------------------------------------------------------------

    def claim(self, run: RunKey) -> Any:
        """Make the run's position; the store decides between two who do."""
        state, made = self._runs.make(run)
        if made:
            change = _Change(state.kept, {})
            self._change_fields(
                change, state, FieldsChanged(dict(run.fields)), Batch(run, (), Position())
            )
            if "config" in run.fields:
                change.documents["cout.txt"] = b""
            try:
                for name, content in change.documents.items():
                    self._put(state, name, content)
            except ObjectConflictError:
                pass  # another replayer writes the run by now: that is newer
        return state.kept["view_id"]

    def take_up(self, run: RunKey) -> ViewPosition:
        """Make the run's position, of which nobody knows yet: the documents come with the write."""
        self._states.pop(run.journal_id, None)
        state = self._runs.take_up(run)
        if state is None:
            self.claim(run)
            found = self.position(run)
            if found is None:
                raise ViewMovedError("the run was taken back meanwhile")
            return found
        self._states[run.journal_id] = state
        return view_position(state.kept)

    def clear_claims(self, max_age: float) -> int:
        """Take away claims whose process is gone."""
        return sum(self.release(run) for run in list(self._runs.stale_claims(max_age)))

    def release(self, run: RunKey) -> bool:
        """Take a claim away again, with all that lies under its name."""
        state = self._runs.find(run)
        if state is None or not state.kept.get("claimed"):
            return False
        try:
            self._runs.remove(run, state)
        except ViewMovedError:
            return False
        self._states.pop(run.journal_id, None)
        return True

    # -- positions -----------------------------------------------------------------------------

    def position(self, run: RunKey) -> ViewPosition | None:
        """Read the run's position, and which versions its objects have."""
        self._states.pop(run.journal_id, None)
        state = self._runs.find(run)
        if state is None:
            return None
        self._load(state)
        kept = state.kept
        if "flaw" not in kept and kept.get("rendered", 0) < sum(kept.get("counts", {}).values()):
            self._write(state, Batch(run, (), Position()), positioned=False)
            kept = state.kept
        self._states[run.journal_id] = state
        return view_position(kept)

    def _load(self, state: RunObjects) -> None:
        """Learn the versions, which may not be older than the position, and ``run.json``."""
        for one in self._store.list(state.prefix):
            state.versions[one.key[len(state.prefix) :]] = one.version
        parts = {f"{_PARTS}{part[0]}" for part in state.kept.get("parts", [])}
        state.leftovers = [
            name[len(_PARTS) :]
            for name in state.versions
            if name.startswith(_PARTS) and name not in parts
        ]
        if not parts <= state.versions.keys():
            state.kept.setdefault("flaw", "some of its .journal/points were missing")
        found = self._store.get(f"{state.prefix}run.json")
        run = json_object(found)
        if found is not None:
            state.versions["run.json"] = found.version
        if run is not None:
            state.run = run
        elif not state.kept.get("claimed"):
            # Somebody took it away or changed it beyond reading: written anew.
            state.kept.setdefault("flaw", "its run.json could not be read")

    # -- writing -------------------------------------------------------------------------------

    def write(self, batch: Batch) -> None:
        """Put what changed, the position last."""
        state = self._states.get(batch.run.journal_id)
        if state is None:
            raise ViewMovedError("the run is not in the view any more")
        self._write(state, batch)

    def _write(self, state: RunObjects, batch: Batch, *, positioned: bool = True) -> None:
        change = _Change(copy.deepcopy(state.kept), dict(state.run))
        for one in batch.changes:
            if isinstance(one, FieldsChanged):
                self._change_fields(change, state, one, batch)
            elif isinstance(one, OutputChanged):
                change.documents["cout.txt"] = one.text.encode("utf-8", "replace")
            else:
                change.points += new_points(change.kept, one)
        kept = change.kept
        if "run.json" in change.documents and kept.pop("anew", False):  # nothing of before stays
            for name, nothing in (("info.json", b"{}"), ("cout.txt", b"")):
                if name in state.versions:
                    change.documents.setdefault(name, nothing)
        renders = self._renders(state, kept, complete=batch.complete)
        changes = renders or change.documents or change.artifacts or state.leftovers
        if changes and not state.taken_up:
            self._take_turn(state)
        parts = state.parts
        before = {str(part[0]) for part in kept.get("parts", [])}
        if change.points:
            kept["parts"] = parts.add(kept.get("parts", []), change.points)
        with contextlib.ExitStack() as files:
            contents: dict[str, bytes | Path] = {**change.artifacts}
            if renders:
                contents["metrics.json"] = self._rendered(state, kept, files)
            contents |= change.documents
            # run.json comes last: who reads there that a run is over finds everything.
            last = contents.pop("run.json", None)
            self._put_all(state, contents)
            if last is not None:
                self._put(state, "run.json", last)
        was_marked = bool(kept.get("claimed")) and not state.taken_up
        if positioned:
            kept["position"] = batch.position.to_wire()
            kept["projector"], kept["order"] = batch.projector, batch.order
            kept["spool"], kept["claimed"] = batch.spool, False
        self._commit(state, kept)
        state.run = change.run
        state.taken_up = False
        if was_marked and positioned:
            self._runs.written(batch.run.journal_id)
        if positioned:
            self._runs.written_at_once(batch.run.journal_id)
        parts.forget(before - {str(part[0]) for part in kept.get("parts", [])})

    def _change_fields(
        self, change: _Change, state: RunObjects, fields: FieldsChanged, batch: Batch
    ) -> None:
        values = fields.fields
        if "config" in values:
            change.documents["config.json"] = json_document(values["config"])
        if values.get("info") or ("info" in values and "info.json" in state.versions):
            change.documents["info.json"] = json_document(values["info"])
        mine = run_fields(
            values,
            batch.references,
            self._files.relative,
            lambda entries: self._files.artifacts(change.kept, entries, change.artifacts),
        )
        if mine or fields.removed:
            anew = bool(change.kept.get("anew"))
            change.run = changed_run(change.run, mine, fields.removed, anew=anew)
            change.documents["run.json"] = json_document(change.run)

    def _renders(self, state: RunObjects, kept: dict[str, Any], *, complete: bool) -> bool:
        """Tell whether ``metrics.json`` is due."""
        total = sum(kept.get("counts", {}).values())
        rendered = kept.get("rendered", -1)
        if total == rendered:
            return False
        grown = total - max(rendered, 0)
        enough = grown * _SHARE >= total and time.monotonic() > state.render_after
        return total <= _SMALL_POINTS or complete or enough

    def _rendered(
        self, state: RunObjects, kept: dict[str, Any], files: contextlib.ExitStack
    ) -> bytes | Path:
        """Return ``metrics.json``, made from the points; a large one in a file that ``files`` closes."""
        began = time.monotonic()
        try:
            metrics = state.parts.read(kept.get("parts", []))
        except (ValueError, TypeError) as error:
            flaw = "its .journal/points were damaged"
            self._commit(state, {**state.kept, "flaw": flaw})
            raise ViewMovedError(f"{state.prefix}: {flaw}") from error
        kept["rendered"] = total = sum(kept.get("counts", {}).values())
        # A large one that is written again and again must not be all that a replayer does.
        state.render_after = time.monotonic() + _SHARE * (time.monotonic() - began)
        if total <= _SMALL_POINTS:
            return b"".join(metrics_document(metrics))
        temporary = tempfile.NamedTemporaryFile(prefix="sacred-metrics-")  # noqa: SIM115 - here
        file = files.enter_context(temporary)
        file.writelines(metrics_document(metrics))
        file.flush()
        return Path(file.name)

    # the puts

    def _take_turn(self, state: RunObjects) -> None:
        """Refuse everybody who read the position before now, or be refused."""
        self._commit(state, state.kept)
        # Parts that were there before and are in no list: whoever wrote them can not name them now.
        state.parts.forget(state.leftovers)
        state.leftovers = []

    def _commit(self, state: RunObjects, kept: dict[str, Any]) -> None:
        content = {**kept, "turn": secrets.token_hex(8)}
        encoded = json.dumps(content, separators=(",", ":")).encode()
        state.version = self._store.put(state.prefix + _POSITION, encoded, state.version)
        state.kept = content

    def _put(self, state: RunObjects, name: str, content: bytes | Path) -> None:
        """Put an object of the run, if it is as it was when the position was read."""
        expected = state.versions.get(name, ABSENT)
        state.versions[name] = self._store.put(state.prefix + name, content, expected)

    def _put_all(self, state: RunObjects, contents: dict[str, bytes | Path]) -> None:
        """Put objects side by side, in any order: each waits for the store as long as one.

        The first error is raised when none is on its way any more.
        """
        pending = []
        if len(contents) > 1 and self._store.takes_several:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="objects")
            for _ in range(len(contents) - 1):
                name, content = contents.popitem()
                pending.append(self._workers.submit(self._put, state, name, content))
        try:
            for name, content in contents.items():
                self._put(state, name, content)
        finally:
            wait(pending)
        for future in pending:
            future.result()

    # -- files and the end -----------------------------------------------------------------------

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store sources and resources where all runs share them; artifacts wait for ``write``."""
        del run
        return self._files.put(entry, blob)

    def reset(self, run: RunKey) -> None:
        """Forget the points and the position; documents are overwritten one by one."""
        state = self._runs.find(run)
        if state is None:
            return
        kept = {name: state.kept[name] for name in ("format", "journal_id", "view_id")}
        self._commit(
            state, {**kept, "claimed": False, "position": [], "projector": 0, "anew": True}
        )
        self._states.pop(run.journal_id, None)


class _Change:
    """What a batch changes of a run, before any of it is put."""

    def __init__(self, kept: dict[str, Any], run: dict[str, Any]) -> None:
        self.kept = kept
        self.run = run
        self.documents: dict[str, bytes] = {}
        self.artifacts: dict[str, Path] = {}
        self.points = b""
