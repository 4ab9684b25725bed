"""The runs below one prefix: whose they are, and how a run gets its place.

``.journal/runs/<journal id>.json`` says which id a run has, so that none is looked for among all.
``<id>/.journal/position.json`` is the run's claim: whoever makes it has the id. ``.journal/claims``
has a name for each run that is claimed and not written, which are few, and one for each replayer that
claims runs which it writes at once (``taking-...``): of one that was killed, they are looked for among
all objects.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from sacred.journal.identity import own_identity, process_lives
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.objects.points import Parts
from sacred.replayers.objects.store import ABSENT, Found, ObjectConflictError
from sacred.replayers.sink import RunKey
from sacred.replayers.tree.documents import began_at_once
from sacred.replayers.tree.names import folder_name, is_number, view_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.objects.store import ObjectStore

__all__ = ["ObjectRuns", "RunObjects"]

#: What the mark of a replayer begins with; those of claims are 16 hexadecimal digits.
_TAKING = "taking-"
#: So many ids are tried that somebody else has.
_ATTEMPTS = 10_000


class RunObjects:
    """What is known of one run's objects, as of ``position`` or the last ``write``.

    Attributes
    ----------
    prefix
        What the names of the run's objects begin with.
    kept
        The content of ``position.json``.
    version
        Of ``position.json``.
    versions
        Of the run's other objects, by their names behind the prefix.
    run
        The content of ``run.json``.
    parts, leftovers
        Its points, and names of parts that are in no list any more.
    render_after
        Not before then is a large ``metrics.json`` written again.
    taken_up
        The claim was made a moment ago, without the mark of a claim, and nothing else is there.
    """

    def __init__(self, store: ObjectStore, prefix: str, found: Found, kept: dict[str, Any]) -> None:
        self.prefix = prefix
        self.parts = Parts(store, f"{prefix}.journal/points/")
        self.leftovers: list[str] = []
        self.kept = kept
        self.version = found.version
        self.versions: dict[str, str] = {}
        self.run: dict[str, Any] = {}
        self.render_after = 0.0
        self.taken_up = False


class ObjectRuns:
    """The runs below one prefix of a store.

    Parameters
    ----------
    store
        Where they are.
    base
        The prefix, with its slash; empty for the whole bucket.
    """

    def __init__(self, store: ObjectStore, base: str) -> None:
        self._store = store
        self.base = base
        #: The run that was looked for last and not found, and the name it would like, which is free;
        #: None for the name if it is not so easy.
        self._sought: tuple[str, str | None] | None = None
        #: The mark of this replayer, and the runs that it took up and did not write yet.
        self._taking: str | None = None
        self._unwritten: set[str] = set()

    def _index(self, journal_id: str) -> str:
        return f"{self.base}.journal/runs/{journal_id}.json"

    def _marker(self, journal_id: str) -> str:
        return f"{self.base}.journal/claims/{journal_id}"

    def _position(self, name: str) -> str:
        return f"{self.base}{name}/.journal/position.json"

    # -- finding ---------------------------------------------------------------------------------

    def find(self, run: RunKey) -> RunObjects | None:
        """Look for a run: where the index says, else where it would like to be."""
        self._sought = run.journal_id, None
        index = self._store.get(self._index(run.journal_id))
        indexed = _indexed(index)
        if indexed is not None:
            found = self._at(indexed, run.journal_id) or self._damaged(indexed, run)
            if found is not None:
                return found
        elif index is not None:  # it is damaged: the run may be anywhere
            found = self._search(run.journal_id)
            if found is not None:
                entry = _json({"view_id": found.kept["view_id"]})
                with contextlib.suppress(ObjectConflictError):
                    self._store.put(self._index(run.journal_id), entry, index.version)
                return found
        wanted = folder_name(run.run_id)
        if wanted is None or wanted == indexed:
            return None
        if self._is_free(wanted):
            if indexed is None:
                self._sought = run.journal_id, wanted
            return None
        return self._at(wanted, run.journal_id)

    def _at(self, name: str, journal_id: str) -> RunObjects | None:
        found = self._store.get(self._position(name))
        kept = json_object(found)
        if found is None or kept is None or not _is_position(kept):
            return None
        if kept["journal_id"] != journal_id:
            return None
        if kept.get("released"):
            return None
        return RunObjects(self._store, f"{self.base}{name}/", found, kept)

    def _damaged(self, name: str, run: RunKey) -> RunObjects | None:
        """Return a run whose position can not be read; the index says that it is this one's."""
        found = self._store.get(self._position(name))
        if _is_position(json_object(found)) or (found is None and not self._remains(name, run)):
            return None
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "view_id": view_id(name),
            "claimed": False,
            "position": [],
            "projector": 0,
            "flaw": f"its .journal/position.json was {'missing' if found is None else 'damaged'}",
        }
        return RunObjects(self._store, f"{self.base}{name}/", found or Found(b"", ABSENT), kept)

    def _remains(self, name: str, run: RunKey) -> bool:
        """Tell whether a run without its position is the one that the index says.

        Somebody may have deleted that, and another program put its own there. Points are ours alone.
        """
        if next(self._store.list(f"{self.base}{name}/.journal/points/"), None) is not None:
            return True
        if "start_time" not in run.fields:
            return False
        document = json_object(self._store.get(f"{self.base}{name}/run.json"))
        return began_at_once(document, run.fields)

    def _search(self, journal_id: str) -> RunObjects | None:
        """Look for a run in every place."""
        for one in [*self._store.list(self.base, folders=True)]:
            name = folder_name(one.key[len(self.base) : -1]) if one.key.endswith("/") else None
            found = self._at(name, journal_id) if name is not None else None
            if found is not None:
                return found
        return None

    # -- claiming --------------------------------------------------------------------------------

    def make(self, run: RunKey) -> tuple[RunObjects, bool]:
        """Give a run its place: that of its id if it is free, else the next number.

        The index is written first, so that of two who do this for one run the slower goes where the
        faster went. Returns the run, and whether this call made its place.
        """
        key = self._index(run.journal_id)
        wanted = folder_name(run.run_id)
        made = False
        for _ in range(_ATTEMPTS):
            index = self._store.get(key)
            name = _indexed(index)
            try:
                if name is not None and self._is_free(name):
                    self._place(run, name)
                    made = True
                    continue  # the index may have been moved meanwhile: look again
                # Behind the listing: what was not free then may have been made for this run.
                found = self._at(name, run.journal_id) if name is not None else None
                if found is None and index is not None and name is None:
                    found = self._search(run.journal_id)
                    if found is not None:
                        self._store.put(
                            key, _json({"view_id": found.kept["view_id"]}), index.version
                        )
                elif found is None and name is not None:
                    found = self._damaged(name, run)
                    if found is not None and found.version == ABSENT:
                        # So that whoever asks for it next finds it without knowing when it began.
                        found.version = self._store.put(
                            self._position(name), _json(found.kept), ABSENT
                        )
                if found is not None:
                    return found, made
                if wanted is None or wanted == name or not self._is_free(wanted):
                    wanted = self._next_number()
                self._store.put(
                    key, _json({"view_id": view_id(wanted)}), index.version if index else ABSENT
                )
            except ObjectConflictError:
                continue
        raise TransientSinkError(f"no free number was found below {self.base or 'the bucket'}")

    def take_up(self, run: RunKey) -> RunObjects | None:
        """Give a run the id that it would like; None if that is not so easy, or it is there.

        ``find`` did not find it, or was not asked: the index, which is put only where none is, tells.
        No mark of the claim is made, but one of this replayer: the run is written at once, and if
        this process is killed before, the next replay of its journal does it, or ``stale_claims``
        finds it.
        """
        sought, self._sought = self._sought, None
        if sought is not None and sought[0] == run.journal_id:
            name = sought[1]
        else:
            name = folder_name(run.run_id)
            if name is not None and not self._is_free(name):
                name = None
        if name is None:
            return None
        if self._taking is None:
            mark = self._marker(_TAKING + secrets.token_hex(8))
            self._store.put(mark, _json(own_identity()))
            self._taking = mark
        self._unwritten.add(run.journal_id)
        index = _json({"view_id": view_id(name)})
        try:
            self._store.put(self._index(run.journal_id), index, ABSENT)
        except ObjectConflictError:
            self._unwritten.discard(run.journal_id)  # the view has it, or somebody takes it up
            return None
        try:
            state = self._claim(run, name)
        except ObjectConflictError:
            return None
        state.taken_up = True
        return state

    def _place(self, run: RunKey, name: str) -> None:
        """Make the claim, and before it the name by which it is found if nothing follows."""
        self._store.put(self._marker(run.journal_id), b"")
        self._claim(run, name)

    def _claim(self, run: RunKey, name: str) -> RunObjects:
        kept: dict[str, Any] = {
            "format": 1,
            "journal_id": run.journal_id,
            "view_id": view_id(name),
            "claimed": own_identity(),
            "position": [],
            "projector": 0,
            "turn": secrets.token_hex(8),
        }
        content = _json(kept)
        version = self._store.put(self._position(name), content, ABSENT)
        return RunObjects(self._store, f"{self.base}{name}/", Found(content, version), kept)

    def _is_free(self, name: str) -> bool:
        return next(self._store.list(f"{self.base}{name}/"), None) is None

    def _next_number(self) -> str:
        found = self._store.list(self.base, folders=True)
        names = (one.key[len(self.base) : -1] for one in found if one.key.endswith("/"))
        return str(max((int(name) for name in names if is_number(name)), default=0) + 1)

    # -- claims ----------------------------------------------------------------------------------

    def written(self, journal_id: str) -> None:
        """Take away the mark of a claim: the run is more than that now."""
        self._store.delete(self._marker(journal_id))

    def written_at_once(self, journal_id: str) -> None:
        """Note that a run that was taken up has no claim any more."""
        self._unwritten.discard(journal_id)

    def end(self) -> None:
        """Take away the mark of this replayer, unless a run that it took up is only claimed."""
        if self._taking is not None and not self._unwritten:
            self._store.delete(self._taking)
            self._taking = None

    def remove(self, run: RunKey, claimed: RunObjects) -> None:
        """Delete a run that is only claimed.

        Raises
        ------
        ObjectConflictError
            It was written meanwhile, and stays.
        """
        kept = {**claimed.kept, "released": True, "turn": secrets.token_hex(8)}
        self._store.put(
            f"{claimed.prefix}.journal/position.json", _json(kept), claimed.version
        )  # from here on nobody can write it
        self._delete(run, claimed.prefix)

    def _delete(self, run: RunKey, prefix: str) -> None:
        position = f"{prefix}.journal/position.json"
        for one in [*self._store.list(prefix)]:
            if one.key != position:
                self._store.delete(one.key)
        self._store.delete(position)
        self._store.delete(self._index(run.journal_id))
        self.written(run.journal_id)

    def stale_claims(self, max_age: float) -> Iterator[RunKey]:
        """Yield the claims that are older, and whose process is gone."""
        prefix = self._marker("")
        for one in [*self._store.list(prefix)]:
            journal_id = one.key[len(prefix) :]
            if journal_id.startswith(_TAKING):
                if one.key != self._taking:
                    yield from self._taken_up(one.key, max_age)
                continue
            name = _indexed(self._store.get(self._index(journal_id)))
            kept = json_object(self._store.get(self._position(name))) if name is not None else None
            if name is None or kept is None or kept.get("journal_id") != journal_id:
                continue  # its claim may be about to come
            claim = kept.get("claimed")
            if kept.get("released"):
                self._delete(RunKey(journal_id), f"{self.base}{name}/")
            elif not isinstance(claim, dict):
                self.written(journal_id)
            elif self._is_stale(claim, max_age):
                yield RunKey(journal_id, view_id(name))

    def _taken_up(self, mark: str, max_age: float) -> Iterator[RunKey]:
        """Yield what a replayer took up that is gone: claims without ``run.json``, which comes last.

        Its mark goes once they have been taken back.
        """
        taker = json_object(self._store.get(mark))
        if taker is None or not self._is_stale(taker, max_age):
            return
        claimed: set[str] = set()
        written: set[str] = set()
        for one in self._store.list(self.base):
            name, _, rest = one.key[len(self.base) :].partition("/")
            if rest == ".journal/position.json":
                claimed.add(name)
            elif rest == "run.json":
                written.add(name)
        for name in sorted(claimed - written):
            kept = json_object(self._store.get(self._position(name)))
            claim = (kept or {}).get("claimed")
            if kept is not None and isinstance(claim, dict) and self._is_stale(claim, max_age):
                yield RunKey(str(kept.get("journal_id")), view_id(name))
        self._store.delete(mark)

    @staticmethod
    def _is_stale(claim: dict[str, Any], max_age: float) -> bool:
        old = time.time() - claim.get("wall", 0) / 1e9 > max_age
        return old and process_lives(claim) is False


def json_object(found: Found | None) -> dict[str, Any] | None:
    """Return what an object holds, if that is a map."""
    try:
        value = json.loads(found.content) if found is not None else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_position(kept: dict[str, Any] | None) -> bool:
    """Tell whether a ``position.json`` says how a run stands."""
    if kept is None or type(kept.get("journal_id")) is not str:
        return False
    return isinstance(kept.get("view_id"), int | str) and isinstance(kept.get("position"), list)


def _indexed(found: Found | None) -> str | None:
    """Return the name that an entry of the index says."""
    return folder_name((json_object(found) or {}).get("view_id"))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
