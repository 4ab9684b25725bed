"""The runs that the contract is shown with, and how their documents are compared."""

from __future__ import annotations

from typing import Any

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.root import RunFolder
from sacred.journal.writer import JournalWriter

__all__ = ["BEGAN", "points_of", "without_ids", "write_run", "write_timed_run"]

#: When the runs of ``write_timed_run`` began (ns since the epoch).
BEGAN = 1_700_000_000_123_456_000


def write_run(
    folder: RunFolder, *, points: int = 50, ends: bool = True, name: str = "contract"
) -> JournalWriter:
    """Write a run with something of everything; returns its writer, closed if the run ended."""
    blobs = BlobStore(folder.root.blobs, durable=False)
    writer = JournalWriter.create(folder.journal, durability="process", blobs=blobs)
    writer.append(
        EventType.RUN_STARTED,
        run_id=folder.number,
        name=name,
        command="main",
        config={"seed": 1, "tuple": (1, 2), "nested": {"a": 0.5}},
        meta={"command": "main", "options": {}},
        experiment={"name": name, "base_dir": "/base", "mainfile": "main.py"},
        host={"hostname": "host"},
    )
    _add_files(writer, blobs)
    writer.append_output(1, "first line: ä\n".encode())
    for step in range(points):
        writer.log_point("loss", step, step / 4)
        if step % 3 == 0:
            writer.log_point("dotted.name", step, step)
    writer.append(EventType.INFO_CHANGED, set=[[["key"], [1, {"deep": 2}]]], deleted=[])
    writer.append(EventType.HEARTBEAT)
    if ends:
        writer.append_output(2, b"second line\n")
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=42)
        writer.close()
    else:
        writer.flush()
    return writer


def _add_files(writer: JournalWriter, blobs: BlobStore, **when: int) -> None:
    source, artifact = blobs.put_bytes(b"print(1)\n"), blobs.put_bytes(b"the artifact")
    writer.append(
        EventType.SOURCE_ADDED,
        filename="main.py",
        path="/base/main.py",
        md5=source.md5,
        blob=source.blob.to_wire(),
        **when,
    )
    writer.append(
        EventType.ARTIFACT_ADDED,
        name="a file.txt",
        filename="/base/a file.txt",
        blob=artifact.blob.to_wire(),
        md5=artifact.md5,
        content_type="text/plain",
        **when,
    )
    writer.append(
        EventType.RESOURCE_ADDED,
        filename="/base/data.csv",
        blob=artifact.blob.to_wire(),
        md5=artifact.md5,
        **when,
    )


def write_timed_run(folder: RunFolder, *, points: int = 24) -> None:
    """Write a run that ended, the same one each time but for its number and journal id.

    Its points lie in several frames, so that a follower may write it in several batches.
    """
    blobs = BlobStore(folder.root.blobs, durable=False)
    writer = JournalWriter.create(folder.journal, durability="process", blobs=blobs)
    writer.append(
        EventType.RUN_STARTED,
        time_ns=BEGAN,
        run_id=folder.number,
        name="timed",
        command="main",
        config={"seed": 1, "nested": {"a": 0.5}},
        meta={"command": "main", "options": {}},
        experiment={"name": "timed", "base_dir": "/base", "mainfile": "main.py"},
        host={"hostname": "host"},
    )
    _add_files(writer, blobs, time_ns=BEGAN + 1000)
    for step in range(points):
        at = BEGAN + (step + 2) * 1_000_000
        fields: dict[str, Any] = {"metric": "loss", "step": step, "value": step / 4}
        writer.append(EventType.METRIC_POINT, time_ns=at, **fields)
        if step % 3 == 0:
            fields = {"metric": "dotted.name", "step": step, "value": step}
            writer.append(EventType.METRIC_POINT, time_ns=at, **fields)
        line = f"line {step}: \u00e4\n".encode()
        writer.append(EventType.OUTPUT, time_ns=at, stream=1, data=line)
        if step % 8 == 7:
            change = [[["step"], step]]
            writer.append(EventType.INFO_CHANGED, time_ns=at, set=change, deleted=[])
            writer.append(EventType.HEARTBEAT, time_ns=at)
            writer.flush()
    ended = BEGAN + (points + 3) * 1_000_000
    ending = {"how": "completed", "status": "COMPLETED", "result": 42}
    writer.append(EventType.RUN_ENDED, time_ns=ended, **ending)
    writer.close()


def points_of(document: Any) -> Any:
    """Return the points of a document, or all of it where it does not tell them apart."""
    return document["metrics"] if isinstance(document, dict) else document


#: What differs between two runs that did the same.
_OWN = frozenset(
    {"start_time", "stop_time", "heartbeat", "timestamps", "_id", "run_id", "id", "file_id"}
)


def without_ids(value: Any) -> Any:
    """Return a run's document without what differs between two runs that did the same."""
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key not in _OWN}
    if isinstance(value, list):
        return [without_ids(item) for item in value]
    return value
