"""What is read in a journal, as lines of JSON that lose no bit: the expectation beside each golden journal.

A line is a map with one of these sets of keys:

* ``frame``: [writer, epoch, first_seq, n], with ``next_seq``, ``chain`` and ``offset`` behind it;
* ``event``: the number of its type, with ``name``, ``time``, ``seq``, ``writer``, ``fields``;
* ``order``: [writer, seq] of all events by time, where there are several writers;
* ``verdict``: ``gap``, ``foreign`` or ``tail``, with all that it says but its sentence;
* ``refused``: the class of the error that ended the reading;
* ``spool``: [stream, begin, end, time], with ``data``; ``spool_end``: the verdict and where it stands;
* ``blob``: its digest, with ``content``.

In values, what JSON has not is a map of one key that names the kind; maps themselves are
``{"map": [[key, value], ...]}``. Text and bytes above 1,024 are a length and a SHA-256.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import math
import struct
from pathlib import Path

from sacred.journal import BlobStore, JournalReader
from sacred.journal.codec import Array, BlobReference, ObjectText, unpack
from sacred.journal.errors import JournalError
from sacred.journal.spool import read_spool
from sacred.journal.tables import MetricTable

LONG = 1024


def tag_float(value):
    """A float as text: readable, and bit for bit."""
    if math.isnan(value):
        return {"float": f"nan {struct.pack('>d', value).hex()}"}
    return {"float": repr(value)}


def tag_bytes(value):
    if len(value) > LONG:
        return {"long bytes": [len(value), hashlib.sha256(value).hexdigest()]}
    return {"bytes": base64.b64encode(value).decode()}


def tag_text(value):
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        return {"text": value.encode("utf-8", "surrogatepass").hex()}
    if len(value) > LONG:
        return {"long text": [len(value), hashlib.sha256(encoded).hexdigest()]}
    return value


def tag_set(values):
    return {"set": sorted(values, key=lambda value: json.dumps(value, sort_keys=True))}


def tag_datetime(nanoseconds, offset):
    return {"datetime": [nanoseconds, offset]}


def plain(value):
    """A value as the package decodes it, for JSON."""
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is str:
        return tag_text(value)
    if type(value) is float:
        return tag_float(value)
    if type(value) is bytes:
        return tag_bytes(value)
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is dict:
        return {"map": [[plain(key), plain(item)] for key, item in value.items()]}
    if type(value) is complex:
        return {"complex": [tag_float(value.real), tag_float(value.imag)]}
    if type(value) is frozenset:
        return tag_set(map(plain, value))
    if type(value) is Array:
        return {"array": [value.dtype, list(value.shape), tag_bytes(value.data)]}
    if type(value) is ObjectText:
        return {"object": [tag_text(value.type), tag_text(value.text)]}
    if type(value) is BlobReference:
        return {"blob": list(value)}
    if type(value) is MetricTable:
        return {
            "table": {
                "metrics": plain(list(value.metrics)),
                "index": list(value.index),
                "steps": plain(value.steps),
                "times": list(value.times),
                "values": plain(value.values),
            }
        }
    if type(value) is tuple:
        return {"tuple": [plain(item) for item in value]}
    if type(value) is dt.datetime:
        offset = value.utcoffset()
        zone = None if offset is None else dt.timezone.utc
        since = value - dt.datetime(1970, 1, 1, tzinfo=zone)
        micros = since // dt.timedelta(microseconds=1)
        return tag_datetime(micros * 1000, None if offset is None else int(offset.total_seconds()))
    if type(value) is dt.date:
        return {"date": value.isoformat()}
    if type(value) is dt.time:
        return {"time": value.isoformat()}
    if type(value) is dt.timedelta:
        return {"timedelta": value // dt.timedelta(microseconds=1)}
    raise TypeError(f"decoding made a {type(value)}")


def _verdict(verdict):
    what = verdict._asdict()
    what.pop("reason", None)  # a sentence may be said better one day
    if not what.get("repaired"):  # younger than the first dumps
        what.pop("repaired", None)
    for name in ("damaged", "told"):  # younger still: what the first dumps show has them, too
        what.pop(name, None)
    return {"verdict": type(verdict).__name__.lower(), **what}


def _event(event):
    return {
        "event": int(event.type),
        "name": event.name,
        "time": event.time,
        "seq": event.seq,
        "writer": event.writer,
        "fields": {str(name): plain(value) for name, value in event.fields.items()},
    }


def frame_lines(frame):
    """The lines of one frame that was read."""
    after = frame.after
    first = {
        "frame": [frame.writer, frame.epoch, frame.first_seq, frame.count],
        "next_seq": after.next_seq,
        "chain": f"{after.chain:016x}",
        "offset": after.offset,
    }
    return [first, *map(_event, frame.events)]


def lines(place: Path):
    """All that is read in a golden journal's folder."""
    found = []
    try:
        reader = JournalReader(place)
        found.append({"journal": f"{reader.journal_id:016x}"})
        for frame in reader.poll():
            found += frame_lines(frame)
        found += map(_verdict, [*reader.verdicts, *reader.tails()])
        writers = {line["frame"][0] for line in found if "frame" in line}
        reader.close()
        if len(writers) > 1:
            ordered = JournalReader(place)
            merged = [[e.writer, e.seq] for e in ordered.read(order="time") if e.seq >= 0]
            ordered.close()
            found.append({"order": merged})
    except JournalError as error:
        found.append({"refused": type(error).__name__})
    spool = place / "journal" / "w0000.spool"
    if spool.exists():
        read = read_spool(spool)
        for stream, begin, end, when, data in read.chunks:
            found.append({"spool": [stream, begin, end, when], "data": tag_bytes(data)})
        found.append({"spool_end": [read.verdict, read.next_offset]})
    store = BlobStore(place / "blobs")
    for path in sorted((place / "blobs").glob("??/*")):
        content = store.read(path.name)
        encodings = {encoding for line in found for encoding in _encodings(line, path.name)}
        shown = plain(unpack(content)) if encodings == {"msgpack"} else tag_bytes(content)
        found.append({"blob": path.name, "encodings": sorted(encodings), "content": shown})
    return found


def _encodings(value, digest):
    """In which encodings a journal's lines name a blob."""
    if isinstance(value, list):
        for item in value:
            yield from _encodings(item, digest)
    elif isinstance(value, dict):
        blob = value.get("blob")
        if isinstance(blob, list) and len(blob) == 4 and blob[1] == digest:
            yield blob[3]
        pairs = value.get("map")
        if isinstance(pairs, list) and ["digest", digest] in pairs:
            yield dict(pairs)["encoding"]
        for item in value.values():
            yield from _encodings(item, digest)


def text(found):
    """The lines as a file holds them."""
    return "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in found)
