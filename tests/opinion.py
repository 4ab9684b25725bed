"""A second opinion on journals: the reader that docs/journal-format.md shows, and how to compare."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

#: Journals larger than this are left out of the second opinion (bytes), which takes a second for a megabyte:
#: none that the suite makes but those of the tests that run as long as they are told to.
LARGEST = 16_000_000
PAGE = Path(__file__).parents[1] / "docs" / "journal-format.md"


def page_reader():
    """Return the page's reader; None where there are no documents."""
    if not PAGE.exists():
        return None
    section = PAGE.read_text(encoding="utf-8").split("## 13. A reader", 1)[1]
    code = re.search(r"```python\n(.*?)```", section, re.S)
    scope = {"__name__": "page"}
    exec(compile(code[1], str(PAGE), "exec"), scope)
    return scope["events"]


def compare(folder, page_reader, *, strange=False):
    """Read a journal twice, and return how many events were compared; 0 if it is not clean.

    A ``strange`` one was not written by this package. One that is sealed or written between the two
    readings (behind a run's end) is read again: points in tables have their times in microseconds.
    """
    for _ in range(10):
        before = _state(folder)
        try:
            return _compare(folder, page_reader, strange=strange)
        except (AssertionError, OSError):
            if before == _state(folder):
                raise
    return 0


def _state(folder):
    """What a file is when it is written or exchanged: another."""
    found = []
    for path in folder.glob("w*-e*.jzst"):
        with contextlib.suppress(OSError):
            facts = path.lstat()
            found.append((path.name, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return sorted(found)


def _compare(folder, page_reader, *, strange):
    import msgpack

    from sacred.journal import JournalReader
    from sacred.journal.codec import pack, unpack
    from sacred.journal.errors import JournalError

    # Not the hidden file of a seal that goes on behind a run, which is gone in a moment.
    if sum(path.lstat().st_size for path in folder.glob("w*-e*.jzst")) > LARGEST:
        return 0
    try:
        reader = JournalReader(folder)
        events = [event for event in reader.read() if event.seq >= 0]
    except (JournalError, OSError):
        return 0  # made to be so
    if not reader.journal_id or reader.verdicts or reader.tails():
        return 0
    ours = {key: what for event in events for key, what in _rows(event)}
    packer = msgpack.Packer(unicode_errors="surrogateescape")
    theirs = {
        key: (when, kind, packer.pack(what))
        for key, (when, kind, what) in page_reader(str(folder)).items()
    }
    if ours != theirs and strange:
        # What another program wrote may be encoded otherwise, and mean the same.
        theirs = {
            key: (*unpack(packer.pack([when, kind])), pack(unpack(what)))
            for key, (when, kind, what) in theirs.items()
        }
    if ours == theirs:  # else pytest would explain a difference of any length, and take minutes
        return len(ours)
    at = min(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    raise AssertionError(
        f"the page's reader reads {folder} differently, at first writer {at[0]}, seq {at[1]}: "
        f"{theirs.get(at)} instead of {ours.get(at)}"
    )


def _rows(event):
    """An event as the page's reader gives it: by wire key, a table row by row; the content packed."""
    from sacred.journal import EventType
    from sacred.journal.codec import pack
    from sacred.journal.events import KEYS

    fields = event.fields
    if event.type == EventType.METRIC_TABLE:
        table = fields["table"]
        rows = zip(table.times, table.names(), table.steps, table.values, strict=True)
        for row, (micros, *point) in enumerate(rows):
            yield (event.writer, event.seq + row), (micros * 1000, 16, pack(point))
        return
    if event.type == EventType.METRIC_POINT:
        content = [fields["metric"], fields["step"], fields["value"]]
    else:
        keys = KEYS.get(event.type, {})
        content = {keys.get(name, name): value for name, value in fields.items()}
    yield (event.writer, event.seq), (event.time, int(event.type), pack(content))
