"""Golden journals of sealed and of repaired files."""

from __future__ import annotations

from golden.journals.epochs import epochs_gap
from golden.journals.samples import START, E
from golden.make import golden

from sacred.journal.epoch_file import EpochFile
from sacred.journal.repair import repair_run
from sacred.journal.root import RunFolder
from sacred.journal.seal import seal_run
from sacred.journal.seal_index import INDEX_MAGIC
from sacred.journal.sealer import output_events, seal_file
from sacred.journal.spool import encode_record, read_spool


def _run(place, points=40):
    writer = place.writer()
    place.append(writer, E.RUN_STARTED, **START)
    place.points(writer, [("loss", step, step / 7) for step in range(points)])
    place.messages(writer, 2)
    place.points(writer, [(name, 0, 0.5) for name in ("loss", "accuracy")])
    place.single(writer, [("loss", points, 0.25), ("größe", 0, "text")])
    return writer


@golden("a run that ended: its rows and tables are one table, what lies between them stays")
def sealed_run(place):
    writer = _run(place)
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED", result=0.25)
    writer.close()
    seal_file(place.journal, 0, 1)


def _large(place):
    """Events for several sealed frames, with tables between them."""
    writer = place.writer()
    for part in range(8):
        place.points(writer, [("abc"[n % 3], n // 3, (n * 7919 % 1009) / 8) for n in range(60)])
        text = f"part {part} " + "0123456789abcdef" * 5000
        place.append(writer, E.MESSAGE, level="info", text=text)
    writer.close()
    seal_file(place.journal, 0, 1)


@golden("half a megabyte: several frames, and tables of several metrics between large events")
def sealed_large(place):
    _large(place)


@golden("nothing was recorded: a first and a last event")
def sealed_empty(place):
    place.writer().close()
    seal_file(place.journal, 0, 1)


@golden("of three files the first two are sealed, the last is not")
def sealed_beside_live(place):
    place.three_files()
    for epoch in (1, 2):
        seal_file(place.journal, 0, epoch)


@golden("after a fault frames stand in two files: the first is sealed without them")
def sealed_overlap(place):
    seal_file(place.journal, 0, 1, until=place.faulted())
    seal_file(place.journal, 0, 2)


@golden("a run that died: when it was last seen, and what its spool held")
def sealed_died(place):
    writer = _run(place)
    writer.append_output(1, b"in the journal\n", 0, 28)
    writer._sync_file()
    writer._exclusively(writer._close_file)
    spool = place.journal / "w0000.spool"
    records = [
        encode_record(1, place.clock.time_ns(), text)
        for text in (b"in the journal\n", b"at the end")
    ]
    spool.write_bytes(b"".join(records))
    chunks = read_spool(spool, 28).chunks
    last = place.clock.time_ns()
    seal_file(place.journal, 0, 1, last_seen=last, added=output_events(chunks))


@golden("a repaired file: a frame in its middle was lost, and is named", "gap")
def repaired(place):
    place.simple(8)
    data = bytearray(place.file().read_bytes())
    data[len(data) // 2] ^= 1
    place.file().write_bytes(data)
    repair_run(RunFolder(place.path), force=True)


@golden("a sealed file that was damaged and repaired: what it knew of its end stays", "gap")
def repaired_sealed(place):
    _large(place)
    data = bytearray(place.file().read_bytes())
    data[len(data) // 2] ^= 1
    place.file().write_bytes(data)
    repair_run(RunFolder(place.path), force=True)


@golden("start and end in frames of their own, and how the run ended at both ends of the file")
def sealed_ended(place):
    writer = _run(place)
    place.append(writer, E.RUN_ENDED, how="failed", status="TIMEOUT")
    writer.close()
    seal_file(place.journal, 0, 1, status="TIMEOUT")


@golden("the event that ends a run was hit: the end of the sealed file tells what it said", "gap")
def sealed_end_hit(place):
    sealed_ended(place)
    data = bytearray(place.file().read_bytes())
    data[EpochFile.of(place.journal, 0, 1).index().frames[-1].offset + 20] ^= 1
    place.file().write_bytes(data)


@golden(
    "many points of few metrics, and of many: tables of 2,048 rows, and of as many as they need"
)
def sealed_tables(place):
    writer = place.writer()
    place.points(writer, [("ab"[n % 2], n // 2, (n * 7919 % 1009) / 8) for n in range(5000)])
    place.messages(writer, 1)
    place.points(writer, [(f"m{n % 200}", n // 200, n % 7) for n in range(4000)])
    writer.close()
    seal_file(place.journal, 0, 1)


@golden(
    "a disk that was full: both files are sealed, and the hole between them has its reason", "gap"
)
def sealed_gap(place):
    epochs_gap(place)
    seal_run(RunFolder(place.path), force=True)


@golden(
    "memory ran out in the middle of a file: it is sealed with the hole, which has its reason",
    "gap",
)
def sealed_missed(place):
    writer = place.writer()
    place.messages(writer, 2)
    writer._missed = 3
    writer._exclusively(writer._tell_missed)
    place.messages(writer, 2, 5)
    writer.close()
    seal_run(RunFolder(place.path), force=True)


@golden("a sealed file whose index is damaged: all is read, by reading it from its beginning")
def sealed_index_hit(place):
    sealed_ended(place)
    data = bytearray(place.file().read_bytes())
    data[data.rindex(INDEX_MAGIC) + 40] ^= 1
    place.file().write_bytes(data)


@golden("a sealed file that was cut where a frame ends: it was whole once", "tail")
def sealed_cut(place):
    sealed_ended(place)
    end = EpochFile.of(place.journal, 0, 1).index().frames[-1].offset
    place.file().write_bytes(place.file().read_bytes()[:end])
