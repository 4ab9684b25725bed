"""Golden journals with files beside them: blobs, and a spool."""

from __future__ import annotations

import itertools

from golden.journals.samples import START, E
from golden.make import (
    golden,
)

from sacred.journal import BlobStore
from sacred.journal.spool import encode_record


@golden("a value that became a blob, and files kept as blobs")
def blobs(place):
    from sacred.journal import packing

    store = BlobStore(place.path / "blobs", durable=False)
    caps = packing.EVENT_BYTES, packing.VALUE_BYTES
    packing.EVENT_BYTES, packing.VALUE_BYTES = 4096, 1024
    try:
        writer = place.writer(blobs=store)
        config = {"table": [[row, row / 3, f"row {row}"] for row in range(300)], "set": {1, (2,)}}
        place.append(writer, E.RUN_STARTED, **{**START, "config": config})
        place.append(writer, E.RESULT_CHANGED, result={"curve": [1 / 3] * 1000})
        writer.flush()
        place.single(writer, [("text", 0, "größe" * 1000)])
        file = store.put_bytes(b"#!/bin/sh\necho golden\n")
        place.append(
            writer, E.ARTIFACT_ADDED, name="x", filename="/srv/x", blob=file.blob.to_wire()
        )
        writer.close()
    finally:
        packing.EVENT_BYTES, packing.VALUE_BYTES = caps


SPOOL = [
    (1, b"step 0\n"),
    (2, b"a warning\n"),
    (1, b"st"),
    (1, b"ep 1\n"),
    (2, b"\xff\x00last words"),
]


def _spooled(place, behind=b""):
    writer = place.writer()
    records = [encode_record(s, place.clock.time_ns(), data) for s, data in SPOOL]
    bounds = [0, *itertools.accumulate(map(len, records))]
    for number, (stream, data) in enumerate(SPOOL[:3]):
        writer.append_output(stream, data, bounds[number], bounds[number + 1])
        writer.flush()
    writer.close()
    (place.journal / "w0000.spool").write_bytes(b"".join(records) + behind)


@golden("a spool that holds more of the output than the journal")
def spool(place):
    _spooled(place)


@golden("a spool whose last record is not whole")
def spool_torn(place):
    _spooled(place, encode_record(1, place.clock.time_ns(), b"never written to its end")[:-5])


@golden("a spool that is damaged")
def spool_damaged(place):
    _spooled(place, b"\x07 this is no record of a spool")
