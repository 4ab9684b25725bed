"""A run's tree of files, written by an observer that is called itself, event by event.

That happens to a subclass, to one whose methods somebody replaced, to one with a template (which is
code), and in tests that call ``observer.started_event(...)`` themselves. What is written, and which
method is asked for what, is as with Sacred: such a program compares files and replaces methods.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.observers.declaration import DeclaredObserver, declares_a_view, extended

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

__all__ = ["TreeEntry"]


@declares_a_view
class TreeEntry(DeclaredObserver):
    """Writes the tree of one run after the other, in the thread that calls.

    A subclass says where: in a folder, in a bucket.

    Attributes
    ----------
    basedir
        Where the runs are, as it was given.
    run_entry
        The content of ``run.json``; written with the next event.
    config, info, cout, cout_write_cursor
        What the run's other files hold, and how much of the output is written.
    """

    basedir: str
    resource_dir: str | os.PathLike[str]
    source_dir: str | os.PathLike[str]
    copy_sources: bool = True
    run_entry: dict[str, Any] | None
    config: dict[str, Any] | None
    info: dict[str, Any] | None
    cout: str
    cout_write_cursor: int

    # -- where it is written: a subclass says it -------------------------------------------------

    def save_json(self, obj: Any, filename: str) -> None:
        """Write a value as JSON under a name of the run's."""
        raise NotImplementedError

    def save_file(self, filename: str | os.PathLike[str], target_name: str | None = None) -> None:
        """Copy a file to the run; FileExistsError if the name is one of the tree's own."""
        raise NotImplementedError

    def save_cout(self) -> None:
        """Write the output that is new."""
        raise NotImplementedError

    def find_or_save(self, filename: str | os.PathLike[str], store_dir: Any) -> Path | str:
        """Copy a file to where all runs share it, unless its content is there; return where."""
        raise NotImplementedError

    def save_sources(self, ex_info: dict[str, Any]) -> list[list[str]]:
        """Store the source files; return pairs of a name and a path relative to the runs'."""
        raise NotImplementedError

    def render_template(self) -> None:
        """Write a report at the end of the run, where there is such."""

    def _new_folder(self, run_id: Any) -> AbstractContextManager[None]:
        """Make a run's place, and take it away again if nothing comes of it."""
        raise NotImplementedError

    def _given(self, run_id: Any) -> Any:
        """Return a run's id: that of its place, unless it was given."""
        raise NotImplementedError

    def _places(self) -> set[str]:
        """Return real paths of folders that are no part of an artifact that is a folder."""
        return set()

    # -- events ----------------------------------------------------------------------------------

    def queued_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: datetime,  # noqa: ARG002 - Sacred does not store it
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write a queued run, with its sources in its folder; returns its id."""
        with self._new_folder(_id):
            self._begin(config)
            self.run_entry = {
                "experiment": dict(ex_info),
                "command": command,
                "host": dict(host_info),
                "meta": dict(meta_info),
                "status": "QUEUED",
            }
            self.save_json(self.run_entry, "run.json")
            self.save_json(config, "config.json")
            for name, _ in (self.copy_sources and ex_info.get("sources")) or ():
                self.save_file(os.path.join(str(ex_info.get("base_dir") or ""), str(name)))
        return self._given(_id)

    def started_event(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        _id: Any,
    ) -> Any:
        """Write the start of a run; returns its id, a text if it was made here."""
        with self._new_folder(_id):
            self._begin(config)
            self.run_entry = {
                "experiment": {**ex_info, "sources": self.save_sources(ex_info)},
                "command": command,
                "host": dict(host_info),
                "start_time": start_time.isoformat(),
                "meta": dict(meta_info),
                "status": "RUNNING",
                "resources": [],
                "artifacts": [],
                "heartbeat": None,
            }
            self.save_json(self.run_entry, "run.json")
            self.save_json(config, "config.json")
            self.save_cout()
        return self._given(_id)

    def _begin(self, config: dict[str, Any]) -> None:
        self.config, self.info = config, {}
        self.cout, self.cout_write_cursor = "", 0

    def heartbeat_event(
        self, info: dict[str, Any], captured_out: str, beat_time: datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        entry = self._entry()
        had_info, self.info = bool(self.info), info
        entry["heartbeat"] = beat_time.isoformat()
        if captured_out[: self.cout_write_cursor] != self.cout[: self.cout_write_cursor]:
            self.cout_write_cursor = 0  # a filter changed what was there before
        self.cout = captured_out
        entry["result"] = result
        self.save_cout()
        self.save_json(entry, "run.json")
        if info or had_info:
            self.save_json(info, "info.json")

    def completed_event(self, stop_time: datetime, result: Any) -> None:
        """Write the end of a run that went well, and the report."""
        self._end(stop_time, "COMPLETED", result=result)

    def interrupted_event(self, interrupt_time: datetime, status: str) -> None:
        """Write the end of a run that was interrupted, and the report."""
        self._end(interrupt_time, status)

    def failed_event(self, fail_time: datetime, fail_trace: list[str]) -> None:
        """Write the end of a run that failed, and the report; nothing, if it never began here."""
        if self.run_entry is not None:
            self._end(fail_time, "FAILED", fail_trace=fail_trace)

    def _end(self, when: datetime, status: str, **more: Any) -> None:
        entry = self._entry()
        entry.update(stop_time=when.isoformat(), status=status, **more)
        self.save_json(entry, "run.json")
        self.render_template()

    def resource_event(self, filename: str) -> None:
        """Store a file that the run needs, unless its content is there, and write its name."""
        from sacred.observers.direct import each_file

        self._entry()
        found = [
            [path, str(self.find_or_save(path, Path(self.resource_dir)))]
            for _, path in each_file("", filename, self._places())
        ]
        self._add("resources", found)

    def artifact_event(
        self,
        name: str,
        filename: str,
        metadata: dict[str, Any] | None = None,  # noqa: ARG002 - files have none
        content_type: str | None = None,  # noqa: ARG002
    ) -> None:
        """Store a file that the run made; of a folder, all files.

        Raises
        ------
        FileExistsError
            The name is one of the tree's own files.
        """
        from sacred.observers.direct import each_file
        from sacred.replayers.tree.names import OWN_FILES, artifact_file

        self._entry()
        added = []
        for one, path in each_file(name or os.path.basename(filename), filename, self._places()):
            # One that would lie outside the folder gets a name inside, as in every file view.
            inside = one if one in OWN_FILES else artifact_file(one)
            self.save_file(path, inside)
            added.append(inside)
        self._add("artifacts", added)

    def _add(self, name: str, found: list[Any]) -> None:
        """Save the entry with more in a list; not in it if that fails: the event may come again."""
        entry = self._entry()
        with extended(entry, name, found):
            self.save_json(entry, "run.json")

    def _entry(self) -> dict[str, Any]:
        if self.run_entry is None:
            raise RuntimeError("started_event or queued_event comes first")
        return self.run_entry
