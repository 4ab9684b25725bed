"""The tests of values: all that a run may hold, and what a place has no room, name or form for."""

from __future__ import annotations

import datetime as dt
import decimal
import math
import pathlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract.folded import canonical
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import BEGAN

if TYPE_CHECKING:
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.sink import SinkSpec

__all__ = ["ODD_NAMES", "ValueContract"]

#: Names that some backend forbids, has a meaning for, or has no room for.
ODD_NAMES = (
    *("$set", "$", "a.b", ".", "..", "../../evil", "/etc/passwd", "a/b", "a\\b", "C:\\x", ""),
    *(" ", " a ", "a\0b", "\0", "\n", "a\nb", "\x1b[31m", "\x7f", "_id", "__proto__", "NUL", "con"),
    *("x" * 300, "\u00e4" * 300, "\u00e9", "e\u0301", "\u202eabc", "\U0001f600", "\u65e5\u672c"),
    *("\ud800", "'; DROP TABLE run; --", "%s %(a)s {0}", "run.json", ".journal", "metrics", "null"),
)


def odd_config() -> dict[str, Any]:
    """Return a configuration with a value of every type that programs have there."""
    return {
        "none": None,
        "true": True,
        "integers": [0, -1, 1 << 53, (1 << 53) + 1, 1 << 63, -(1 << 64), 10**40],
        "floats": [0.0, -0.0, 0.1, 1e308, 5e-324, math.nan, math.inf, -math.inf],
        "texts": [
            "",
            "a",
            "\u00e4",
            "\U0001f600",
            "a\0b",
            "\ud800",
            "x" * 10_000,
            "a\r\nb",
            "\u2028",
        ],
        "bytes": [b"", b"text", b"\xff\x00"],
        "lists": [[], [[]], [[1, [2, [3]]]], (1, (2,)), {1, 2}, frozenset({"a"})],
        "maps": {"empty": {}, "deep": {"a": {"b": {"c": {}}}}, "keys": {1: 2, None: 3, False: 4}},
        "times": [
            dt.datetime(2024, 5, 4, 3, 2, 1, 999_999),  # noqa: DTZ001 - of no zone
            dt.datetime(2024, 5, 4, tzinfo=dt.timezone(dt.timedelta(hours=5))),
            dt.date(1, 1, 1),
            dt.time(1, 2, 3),
            dt.timedelta(days=1),
        ],
        "others": [
            decimal.Decimal("0.10"),
            pathlib.PurePosixPath("/a"),
            uuid.UUID(int=7),
            1 + 2j,
            range(3),
            ValueError("x"),
            ...,
            int,
        ],
        "odd names": {name: number for number, name in enumerate(ODD_NAMES)},
        "very deep": _nested(80),
    }


def _nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


class _Writer:
    """Writes a run event by event, each a millisecond after the one before."""

    def __init__(self, folder: RunFolder, config: dict[str, Any], **more: Any) -> None:
        self.blobs = BlobStore(folder.root.blobs, durable=False)
        self.journal = JournalWriter.create(folder.journal, durability="process", blobs=self.blobs)
        # Two runs that begin at once, under one id, are one run to a view that lost its bookkeeping.
        self.now = BEGAN + (folder.number or 0) * 10**9
        fields = {"name": "values", "command": "main", "meta": {}, "host": {"hostname": "h"}}
        experiment = {"name": "values", "base_dir": "/base", "mainfile": "main.py"}
        self.say(
            EventType.RUN_STARTED,
            **{**fields, "run_id": 1, "experiment": experiment, "config": config, **more},
        )

    def say(self, kind: EventType, **fields: Any) -> None:
        self.now += 1_000_000
        self.journal.append(kind, time_ns=self.now, **fields)

    def add_file(self, kind: EventType, content: bytes, **fields: Any) -> None:
        stored = self.blobs.put_bytes(content)
        self.say(kind, blob=stored.blob.to_wire(), md5=stored.md5, **fields)

    def end(self, result: Any = None) -> None:
        self.say(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=result)
        self.journal.close()


class ValueContract(SinkPlace):
    """No value and no name stops a view; what it can not hold stands there in another form."""

    def test_numbers_that_are_none(self, spec: SinkSpec, root: JournalRoot) -> None:
        """NaN and the infinities are kept as points, and stand in the documents in some form."""
        folder = root.claim()
        odd = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
        writer = _Writer(folder, {"odd": odd})
        for step, value in enumerate(odd):
            point = {"metric": "odd", "step": step, "value": value}
            writer.say(EventType.METRIC_POINT, **point)
            writer.say(EventType.METRIC_POINT, **{**point, "metric": "steps", "step": value})
        writer.say(EventType.INFO_CHANGED, set=[[["odd"], odd]], deleted=[])
        writer.end(math.nan)
        self._assert_arrived(folder, spec)
        self.check(folder, spec, 1)

    def test_a_config_with_every_type(self, spec: SinkSpec, root: JournalRoot) -> None:
        """Whatever a program puts into its configuration, its info and its result."""
        folder = root.claim()
        odd = odd_config()
        writer = _Writer(folder, odd, meta={"comment": "\ud800\0", "options": odd}, host=odd)
        writer.say(EventType.INFO_CHANGED, set=[[["odd"], odd]], deleted=[])
        writer.say(EventType.RESULT_CHANGED, result=odd)
        writer.say(EventType.METRIC_POINT, metric="odd", step="a step", value=odd)
        writer.say(EventType.METRIC_POINT, metric="odd", step=None, value=None)
        writer.end(odd)
        self._assert_arrived(folder, spec)
        self.check(folder, spec, 1)

    @pytest.mark.parametrize("names", [ODD_NAMES[0::3], ODD_NAMES[1::3], ODD_NAMES[2::3]])
    def test_names_that_a_place_forbids(
        self, spec: SinkSpec, root: JournalRoot, names: tuple[str, ...]
    ) -> None:
        """Of metrics, files, keys, the experiment, its command: none is lost, none goes astray."""
        folder = root.claim()
        writer = _Writer(folder, {name: name for name in names}, name=names[0], command=names[1])
        for name in names:
            for step in range(3):
                writer.say(EventType.METRIC_POINT, metric=name, step=step, value=step)
            writer.say(EventType.INFO_CHANGED, set=[[[name], {name: [name]}]], deleted=[])
            content = repr(name).encode()
            writer.add_file(EventType.ARTIFACT_ADDED, content, name=name, filename=f"/base/{name}")
            writer.add_file(EventType.RESOURCE_ADDED, content, filename=f"/base/{name}")
            about = {"filename": name, "path": f"/base/{name}"}
            writer.add_file(EventType.SOURCE_ADDED, content, **about)
            writer.say(EventType.OUTPUT, stream=1, data=name.encode("utf-8", "replace"))
        writer.end(names[0])
        self._assert_arrived(folder, spec)
        self.check(folder, spec, 1)

    @pytest.mark.parametrize("what", ["info", "config", "output", "artifact", "result", "point"])
    @pytest.mark.slow
    def test_a_value_of_twenty_megabytes(
        self, spec: SinkSpec, root: JournalRoot, what: str
    ) -> None:
        """It is there, or a text says that it is too large; the run is there in any case."""
        folder, plain = root.claim(), root.claim()
        text = "0123456789abcdef" * (20 << 16)
        for one, value in ((folder, text), (plain, "small")):
            given = {name: value if name == what else "small" for name in ("config", "result")}
            writer = _Writer(one, {"value": given["config"], "other": 1})
            writer.say(EventType.METRIC_POINT, metric="loss", step=0, value=0.5)
            if what == "info":
                writer.say(EventType.INFO_CHANGED, set=[[["value"], value]], deleted=[])
            elif what == "output":
                writer.say(EventType.OUTPUT, stream=1, data=value.encode())
            elif what == "artifact":
                about = {"name": "large.bin", "filename": "/base/large.bin"}
                writer.add_file(EventType.ARTIFACT_ADDED, value.encode(), **about)
            elif what == "point":
                writer.say(EventType.METRIC_POINT, metric="text", step=0, value=value)
            writer.end(given["result"])
            view_id = self._assert_arrived(one, spec)
            assert self.document(spec, view_id) is not None
        if what == "artifact" and self.takes_large_files:
            self.check(folder, spec, 1)

    def _assert_arrived(self, folder: RunFolder, spec: SinkSpec) -> Any:
        """Fail unless the run arrives, the same twice, and another replay finds it whole."""
        status = self.follow(folder, spec)
        assert (status.state, status.error) == ("current", None)
        before = self.content(spec, status.view_id)
        again = self.follow(folder, spec)
        assert (again.state, again.error, again.view_id) == ("current", None, status.view_id)
        rebuilt = self.follow(folder, spec, rebuild=True)
        assert (rebuilt.state, rebuilt.error) == ("current", None)
        assert canonical(before) == canonical(self.content(spec, status.view_id))
        return status.view_id
