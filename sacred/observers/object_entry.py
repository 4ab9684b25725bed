"""A run's objects, written by an observer that is called itself, event by event.

The objects are Sacred's, without one of this project's beside them. Unlike there, ``cout.txt`` is
the whole output, the metrics of one run do not come again in the next, and a source or resource is
stored once.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import InvalidArgumentError, file_name
from sacred.observers.declaration import declares_a_view, logger
from sacred.observers.tree_entry import TreeEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sacred.replayers.objects.store import ObjectStore

__all__ = ["ObjectEntry", "checked_bucket", "joined", "require_driver"]

#: So many ids that appear at the same moment are passed over.
_ATTEMPTS = 1000


@declares_a_view
class ObjectEntry(TreeEntry):
    """Writes the objects of one run after the other, in the thread that calls.

    Attributes
    ----------
    bucket, basedir
        Where the runs are, as it was given.
    saved_metrics
        The content of ``metrics.json``.
    """

    bucket: str
    #: What stands before the colon of an address.
    _scheme: str
    saved_metrics: dict[str, dict[str, list[Any]]]
    _dir: str | None = None
    _journal_id: str | None = None
    _store_or_none: ObjectStore | None = None

    def _set_places(self, resource_dir: Any, source_dir: Any) -> None:
        """Set where shared files are, and that no run began."""
        name = type(self).__name__
        places = {"resource_dir": resource_dir, "source_dir": source_dir}
        for argument, place in places.items():
            if place is not None:
                file_name(place, f"{name}({argument}=PATH)")
        self.resource_dir = resource_dir or joined(self.basedir, "_resources")
        self.source_dir = source_dir or joined(self.basedir, "_sources")
        self.run_entry = self.config = self.info = None
        self.cout, self.cout_write_cursor = "", 0
        self.saved_metrics = {}

    # -- where -------------------------------------------------------------------------------------

    @property
    def dir(self) -> str | None:
        """What the names of the run's objects begin with; None before there is a run.

        Where another process writes the view, the view is asked, as soon as the run is there.
        """
        if self._dir is None and self._journal_id is not None:
            from sacred.replayers.objects.runs import ObjectRuns
            from sacred.replayers.sink import RunKey

            found = ObjectRuns(self._store(), self._base()).find(RunKey(self._journal_id))
            if found is not None:
                self._dir = found.prefix.rstrip("/")
        return self._dir

    @dir.setter  # noqa: A003 - Sacred's name
    def dir(self, value: str | None) -> None:
        self._dir = value

    def run_began(self, *, journal_id: str, run_id: Any, view: str) -> None:
        """Learn which run is in the view."""
        del run_id, view
        self._dir, self._journal_id = None, journal_id

    def _base(self) -> str:
        base = str(self.basedir).rstrip("/")
        return f"{base}/" if base else ""

    def _store(self) -> ObjectStore:
        """Return the bucket, open."""
        if self._store_or_none is None:
            store = self._new_store()
            store.open()
            self._store_or_none = store
        return self._store_or_none

    def _new_store(self) -> ObjectStore:
        raise NotImplementedError

    def _key(self, name: str) -> str:
        if self._dir is None:
            raise RuntimeError("There is no run yet.")
        return f"{self._dir}/{name}"

    # -- what a subclass may replace ---------------------------------------------------------------

    def save_json(self, obj: Any, filename: str) -> None:
        """Write a value as JSON into an object of the run's."""
        from sacred.observers.direct import plain_value
        from sacred.replayers.tree.documents import json_document

        self._store().put(self._key(filename), json_document(plain_value(obj)))

    def save_file(self, filename: str | os.PathLike[str], target_name: str | None = None) -> None:
        """Copy a file into an object of the run's.

        Raises
        ------
        FileExistsError
            The name is one of the tree's own files.
        OSError
            The file can not be read: it is not there, for one.
        RuntimeError
            No run began yet.
        """
        from pathlib import Path

        from sacred.replayers.tree.names import OWN_FILES

        name = target_name or os.path.basename(filename)
        if name in OWN_FILES:
            raise FileExistsError(
                f"You are trying to overwrite a file necessary for the {type(self).__name__}: "
                f"{name}. Add it under another name."
            )
        with open(filename, "rb"):  # the store's errors are of the store
            self._store().put(self._key(name), Path(filename))

    def save_cout(self) -> None:
        """Write the output, all of it: an object can not grow."""
        content = self.cout.encode("utf-8", "replace")
        self._store().put(self._key("cout.txt"), content)
        self.cout_write_cursor = len(self.cout)

    def find_or_save(self, filename: str | os.PathLike[str], store_dir: Any) -> str:
        """Copy a file to where all runs share it, unless its content is there; return its name."""
        from pathlib import Path

        from sacred.core.dependencies import get_digest
        from sacred.replayers.tree.names import shared_file

        path = Path(filename)
        key = f"{str(store_dir).rstrip('/')}/{shared_file(path.name, get_digest(path))}"
        store = self._store()
        if all(one.key != key for one in store.list(key)):
            store.put(key, path)
        return key

    def save_sources(self, ex_info: dict[str, Any]) -> list[list[str]]:
        """Store the source files, each content once.

        Returns
        -------
        Pairs of a name and a name relative to ``basedir``: ``experiment.sources``.
        """
        base = str(ex_info.get("base_dir") or "")
        stored = []
        for name, _ in ex_info.get("sources") or ():
            path = os.path.join(base, str(name))
            try:
                place = self.find_or_save(path, self.source_dir)
            except OSError as error:
                logger().warning("The source %s is not stored: %s", path, error.strerror or error)
                place = path
            stored.append([str(name), place.removeprefix(self._base())])
        return stored

    # -- ids -------------------------------------------------------------------------------------

    @contextmanager
    def _new_folder(self, run_id: Any) -> Iterator[None]:
        before = (self._dir, self.run_entry)
        self._make_run_dir(run_id)
        self.saved_metrics = {}
        try:
            yield
        except BaseException:
            self._dir, self.run_entry = before
            raise

    def _make_run_dir(self, _id: Any) -> None:
        """Find a name for a run that nothing has, and set ``dir``."""
        from sacred.replayers.objects.store import ABSENT, ObjectConflictError

        if _id is not None:
            name = str(_id)
            if not name or "/" in name or name in {".", "..", "_sources", "_resources"}:
                raise ValueError(
                    f"The id {_id!r} can not be the name of a run in {self._base()}. "
                    "Choose an id of letters, digits and hyphens."
                )
            prefix = f"{self._base()}{name}"
            if self._is_there(prefix):
                raise FileExistsError(
                    f"There is a run with the id {_id} in {prefix}. "
                    "Leave out the id, or choose another one."
                )
            self._dir = prefix
            return
        following = self._maximum_existing_run_id() + 1
        for number in range(following, following + _ATTEMPTS):
            prefix = f"{self._base()}{number}"
            if self._is_there(prefix):
                continue
            try:
                # Of two that start at once, one has made it.
                self._store().put(f"{prefix}/run.json", b"{}", ABSENT)
            except ObjectConflictError:
                continue
            self._dir = prefix
            return
        raise FileExistsError(f"No free number was found in {self._base()}.")

    def _is_there(self, prefix: str) -> bool:
        return next(self._store().list(f"{prefix}/"), None) is not None

    def _maximum_existing_run_id(self) -> int:
        """Return the highest number that a run has, or 0."""
        from sacred.replayers.tree.names import is_number

        base = self._base()
        found = (one.key[len(base) : -1] for one in self._store().list(base, folders=True))
        return max((int(name) for name in found if is_number(name)), default=0)

    def _given(self, run_id: Any) -> Any:
        """Return a run's id: an integer, unless it was given."""
        return int(str(self._dir).rpartition("/")[2]) if run_id is None else run_id

    # -- events ----------------------------------------------------------------------------------

    def log_metrics(
        self,
        metrics_by_name: dict[str, dict[str, Any]],
        info: dict[str, Any],  # noqa: ARG002 - the heartbeat that follows has it
    ) -> None:
        """Write ``metrics.json`` with more points, also if there are none."""
        more = {name: dict(metric) for name, metric in self.saved_metrics.items()}
        for name, metric in metrics_by_name.items():
            known = more.get(name, {"steps": [], "values": [], "timestamps": []})
            more[name] = {
                "steps": known["steps"] + list(metric["steps"]),
                "values": known["values"] + list(metric["values"]),
                "timestamps": known["timestamps"]
                + [when.isoformat() for when in metric["timestamps"]],
            }
        self.save_json(more, "metrics.json")
        self.saved_metrics = more  # not before it is there: the event may come again

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ObjectEntry) or self._scheme != other._scheme:
            return False
        return (self.bucket, self.basedir) == (other.bucket, other.basedir)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._scheme}://{self.bucket}/{self._base()}>"


def checked_bucket(bucket: Any, observer: str, is_valid: Any) -> str:
    """Return the name of a bucket.

    Raises
    ------
    InvalidArgumentError
        It is no text.
    ValueError
        No bucket can have it.
    """
    if not isinstance(bucket, str):
        raise InvalidArgumentError(
            f'bucket of {observer}(...) is {bucket!r}: give a text, bucket="NAME".'
        )
    if not is_valid(bucket):
        raise ValueError(
            f"{bucket!r} is no name of a bucket: it has 3 to 63 lower-case letters, digits, "
            "hyphens and dots, begins and ends with a letter or a digit, and is no IP address."
        )
    return bucket


def joined(*parts: Any) -> str:
    """Join the parts of an object's name."""
    return "/".join(part for part in (str(one).rstrip("/") for one in parts) if part)


def require_driver(observer: str, module: str, package: str) -> None:
    """See that a driver is installed, without loading it.

    Raises
    ------
    ImportError
    """
    import importlib.util

    try:
        found = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    except ValueError:  # something that a test put in its place
        return
    if not found:
        raise ImportError(
            f"{observer} needs the package {package}: pip install {package}", name=module
        )
