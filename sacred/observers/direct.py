"""An observer of ours that is called itself, event by event: projection and sink, at once.

That happens to a subclass, to one whose methods somebody replaced, to one with live objects
(``client=``), and in tests that call ``observer.started_event(...)`` themselves.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.journal.events import Event, EventType
from sacred.journal.position import Position, WriterPosition
from sacred.journal.snapshot import Snapshot
from sacred.journal.writer import journal_id_text, new_journal_id
from sacred.replayers.projection import PROJECTOR, RunProjection
from sacred.replayers.sink import Batch, FieldsChanged, FileEntry, OutputChanged, RunKey

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Container, Iterator

    from sacred.replayers.sink import Sink

__all__ = ["DirectView", "each_file", "plain_value"]


class DirectView:
    """Writes one run into one view, in the thread that calls.

    Every method raises what the sink raises; what a call could not write is written by the next.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._projection = RunProjection(keep_output="output" in sink.rewrites)
        self._run = RunKey(journal_id_text(new_journal_id()))
        self._seq = 0
        self._references: dict[tuple[str, str, str | None, int], Any] = {}
        self._waiting: list[Any] = []
        self._versions: dict[str, int] = {}

    def document(self) -> dict[str, Any]:
        """Return the run's document as it was written last."""
        return self._projection.document()

    def started(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        start_time: dt.datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        run_id: Any,
    ) -> Any:
        """Write the start; return the id the run has in the view.

        Raises
        ------
        FileExistsError
            The id is not free.
        """
        facts = (ex_info, command, host_info, start_time, config, meta_info)
        return self._begin(EventType.RUN_STARTED, run_id, *facts)

    def queued(
        self,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        queue_time: dt.datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
        run_id: Any,
    ) -> Any:
        """Write a queued run; return the id it has in the view."""
        facts = (ex_info, command, host_info, queue_time, config, meta_info)
        return self._begin(EventType.RUN_QUEUED, run_id, *facts)

    def _begin(
        self,
        kind: EventType,
        run_id: Any,
        ex_info: dict[str, Any],
        command: str,
        host_info: dict[str, Any],
        when: dt.datetime,
        config: dict[str, Any],
        meta_info: dict[str, Any],
    ) -> Any:
        self._sink.open()
        key = self._run._replace(run_id=run_id)
        given = self._sink.claim(key)
        if run_id is not None and str(given) != str(run_id):
            self._sink.release(key)
            raise FileExistsError(f"There is a run with the id {run_id}. Choose another one.")
        self._run = key._replace(run_id=given)
        # A sink writes a run only after it was asked where that stands.
        self._sink.position(self._run)
        experiment = {name: value for name, value in ex_info.items() if name != "sources"}
        self._apply(
            kind,
            when,
            run_id=given,
            name=ex_info.get("name"),
            command=command,
            config=plain_value(config),
            meta=plain_value(meta_info),
            experiment=plain_value(experiment),
            host=plain_value(host_info),
        )
        base = str(ex_info.get("base_dir") or os.getcwd())
        for name, md5 in ex_info.get("sources") or ():
            path = os.path.join(base, str(name))
            content = _content(path)
            self._apply(
                EventType.SOURCE_ADDED, when, filename=name, path=path, **{**content, "md5": md5}
            )
        self._write()
        return given

    def heartbeat(
        self, info: dict[str, Any], captured_out: str, beat_time: dt.datetime, result: Any
    ) -> None:
        """Write what is known by now."""
        self._apply(EventType.INFO_SNAPSHOT, beat_time, info=plain_value(info))
        self._apply(EventType.OUTPUT_FILTERED, beat_time, keep=0, text=captured_out or "")
        self._apply(EventType.RESULT_CHANGED, beat_time, result=plain_value(result))
        self._apply(EventType.HEARTBEAT, beat_time)
        self._write()

    def metrics(self, metrics_by_name: dict[str, dict[str, Any]]) -> None:
        """Write metric points."""
        for name, metric in metrics_by_name.items():
            columns = (metric["steps"], metric["values"], metric["timestamps"])
            for step, value, when in zip(*columns, strict=True):
                self._apply(EventType.METRIC_POINT, when, metric=name, step=step, value=value)
        if metrics_by_name:
            self._write()

    def resource(self, filename: str) -> None:
        """Write a file that the run needs."""
        self._apply(EventType.RESOURCE_ADDED, None, filename=filename, **_content(filename))
        self._write()

    def artifact(
        self, name: str, filename: str, metadata: Any = None, content_type: str | None = None
    ) -> None:
        """Write a file that the run made."""
        from sacred.core.artifacts import content_type_of

        version = self._versions[name] = self._versions.get(name, 0) + 1
        self._apply(
            EventType.ARTIFACT_ADDED,
            None,
            name=name,
            filename=filename,
            metadata=metadata,
            content_type=(content_type_of(filename) if content_type is None else content_type)
            or None,
            version=version,
            **_content(filename),
        )
        self._write()

    def ended(
        self,
        how: str,
        status: str,
        when: dt.datetime,
        *,
        result: Any = None,
        fail_trace: list[str] | None = None,
    ) -> None:
        """Write the end."""
        fields: dict[str, Any] = {"how": how, "status": status}
        if how == "completed":
            fields["result"] = plain_value(result)
        if fail_trace is not None:
            fields["fail_trace"] = fail_trace
        self._apply(EventType.RUN_ENDED, when, **fields)
        self._write()

    def close(self) -> None:
        """Give back connections and files."""
        self._sink.close()

    def _apply(self, kind: EventType, when: dt.datetime | None, **fields: Any) -> None:
        event = Event(int(kind), _nanoseconds(when), self._seq, 0, fields)
        self._projection.apply(event)
        self._seq += 1

    def _write(self) -> None:
        self._waiting += self._projection.changes()
        changes = tuple(self._waiting)
        for entry in _files(changes):
            if entry.key not in self._references:
                path = Path(entry.path)
                blob = path if path.is_file() else None
                self._references[entry.key] = self._sink.put_file(self._run, entry, blob)
        self._sink.write(
            Batch(
                self._run,
                _merged(changes),
                Position({0: WriterPosition(1, self._seq, 0)}),
                PROJECTOR,
                metrics=tuple(self._projection.counts),
                references=self._references,
            )
        )
        self._waiting.clear()


def plain_value(value: Any) -> Any:
    """Return a value as a view shows it: readable lists, maps, numbers and text.

    The same as if it had gone through a journal, passwords of addresses masked.
    """
    from sacred.core.passwords import masked_within
    from sacred.journal.codec import pack, unpack
    from sacred.replayers.plain import plain, plain_text

    value = masked_within(value)
    return plain_text(value) if type(value) is str else plain(unpack(pack(value)))


def each_file(name: str, filename: str, places: Container[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield a file's name and path, or those of all files in a folder.

    Parameters
    ----------
    name
        What the user calls it.
    filename
        A file, or a folder; places of journals in it are left out.
    places
        Real paths of more folders that are left out.
    """
    if not os.path.isdir(filename):
        yield name, filename
        return
    from sacred.core.artifacts import files_of

    for relative in files_of(filename, places).files:
        yield f"{name}/{relative}", os.path.join(filename, relative)


def _merged(changes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the changes with at most one of the fields and one of the output."""
    fields: dict[str, Any] = {}
    removed: tuple[str, ...] = ()
    output: OutputChanged | None = None
    others = []
    for change in changes:
        if isinstance(change, FieldsChanged):
            fields.update(change.fields)
            removed += change.removed
        elif not isinstance(change, OutputChanged):
            others.append(change)
        elif output is None or change.keep <= output.keep:
            output = change
        else:
            kept = output.text[: change.keep - output.keep]
            output = OutputChanged(output.keep, kept + change.text)
    first: list[Any] = [FieldsChanged(fields, removed)] if fields or removed else []
    if output is not None:
        first.append(output)
    return (*first, *others)


def _files(value: Any) -> Iterator[FileEntry]:
    """Yield the files that are named anywhere in some changes."""
    if isinstance(value, FileEntry):
        yield value
    elif isinstance(value, FieldsChanged):
        yield from _files(value.fields)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _files(item)
    elif type(value) in (list, tuple):
        for item in value:
            yield from _files(item)


def _content(path: str) -> dict[str, Any]:
    """Return what the content of a file is called, as the events of a journal say it."""
    sha, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    try:
        with open(path, "rb") as file:
            content = Snapshot(file)
            while chunk := content.read(1 << 20):
                sha.update(chunk)
                md5.update(chunk)
                size += len(chunk)
    except OSError:
        return {}
    blob = {"algorithm": "sha256", "digest": sha.hexdigest(), "size": size, "encoding": "identity"}
    return {"blob": blob, "md5": md5.hexdigest()}


def _nanoseconds(when: dt.datetime | None) -> int:
    import datetime as dt
    import time

    if when is None:
        return time.time_ns()
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.timezone.utc)
    since = when - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return since // dt.timedelta(microseconds=1) * 1000
