"""Golden journals of events: each type, and the runs they tell of."""

from __future__ import annotations

from golden.journals.samples import SAMPLES, START, E
from golden.make import (
    golden,
)

from sacred.journal.events import SCHEMAS


def _wire(kind, fields, when):
    keys = {field.name: field.key for field in SCHEMAS[kind].fields}
    return {"t": when, "e": int(kind), **{keys[name]: value for name, value in fields.items()}}


@golden("each event type but tables and what belongs to files, with every field, a frame each")
def every_event_with_every_field(place):
    place.built(*[[_wire(kind, SAMPLES[kind], place.clock.time_ns())] for kind in SAMPLES])


@golden("the same events in one frame")
def every_event_in_one_frame(place):
    place.built([_wire(kind, SAMPLES[kind], place.clock.time_ns()) for kind in SAMPLES])


@golden("each event type with those fields only that a reader may count on")
def every_event_with_required_fields(place):
    bodies = []
    for kind, fields in SAMPLES.items():
        must = {field.name for field in SCHEMAS[kind].fields if field.required}
        least = {name: value for name, value in fields.items() if name in must}
        bodies.append([_wire(kind, least, place.clock.time_ns())])
    place.built(*bodies)


@golden("a run that completed, as the framework writes it")
def run_completed(place):
    writer = place.writer()
    for kind in (E.RUN_STARTED, E.SOURCE_ADDED, E.DEPENDENCIES_FOUND, E.REPOSITORY_FOUND):
        place.append(writer, kind, **SAMPLES[kind])
    place.append(writer, E.HOST_FACTS, **SAMPLES[E.HOST_FACTS])
    for step in range(3):
        place.single(writer, [("loss", step, 1 / (step + 1))])
        writer.append_output(1, f"step {step}\n".encode())
        place.append(writer, E.HEARTBEAT, durable=writer.next_seq - 1)
    place.points(writer, [("loss", step, 1 / (step + 1)) for step in range(3, 40)])
    place.append(writer, E.INFO_CHANGED, set=[[["best"], 0.025]], deleted=[])
    place.append(writer, E.ARTIFACT_ADDED, **SAMPLES[E.ARTIFACT_ADDED])
    place.append(writer, E.RESULT_CHANGED, result=0.025)
    place.append(writer, E.USAGE, **SAMPLES[E.USAGE])
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED", result=0.025)
    place.append(writer, E.VIEW_ID, view="mongodb://golden/sacred", id=900)
    writer.close()


@golden("a run that failed")
def run_failed(place):
    writer = place.writer(durability="event")
    place.append(writer, E.RUN_STARTED, **SAMPLES[E.RUN_STARTED])
    writer.append_output(2, b"Traceback ...\n")
    place.append(writer, E.RUN_ENDED, **SAMPLES[E.RUN_ENDED])
    writer.close()


@golden("a run that was interrupted, with a string as id")
def run_interrupted(place):
    writer = place.writer(durability="process")
    place.append(writer, E.RUN_STARTED, **{**START, "run_id": "night-7"})
    place.append(writer, E.RUN_ENDED, how="interrupted", status="TIMEOUT")
    writer.close()


@golden("a run that was queued, taken, given back, taken again and run")
def run_queued(place):
    writer = place.writer()
    for kind in (E.RUN_QUEUED, E.RUN_CLAIMED, E.RUN_RELEASED, E.RUN_CLAIMED, E.RUN_STARTED):
        place.append(writer, kind, **SAMPLES[kind])
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()


@golden("a run of which nothing is known but that it began")
def run_begun(place):
    writer = place.writer()
    place.append(writer, E.RUN_STARTED, **START)
    writer.close()


@golden("a run that was resumed in a second epoch, by another process")
def run_resumed(place):
    writer = place.writer()
    place.append(writer, E.RUN_STARTED, **START)
    place.single(writer, [("loss", step, 1.0 - step / 8) for step in range(4)])
    writer.close()
    place.clock.sleep(3600)
    writer = place.resumed(2)
    place.append(writer, E.RUN_RESUMED, **SAMPLES[E.RUN_RESUMED])
    place.append(writer, E.LINKED, relation="resumed_from", target=57)
    place.single(writer, [("loss", step, 1.0 - step / 8) for step in range(4, 8)])
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()


@golden("notes of people: a journal without a run")
def notes(place):
    writer = place.writer()
    for what, action, value in (
        ("tag", "add", "best"),
        ("note", "set", "Sehr gut.\nZweite Zeile."),
        ("name", "set", "baseline"),
        ("tag", "remove", "best"),
        ("status", "set", "INVALID"),
    ):
        place.append(writer, E.ANNOTATED, what=what, action=action, value=value, author="x")
    writer.close()


@golden("a run of which a value was redacted and that was deleted at last")
def run_deleted(place):
    writer = place.writer()
    for kind in (E.RUN_STARTED, E.RUN_ENDED, E.REDACTED, E.TOMBSTONE):
        place.append(writer, kind, **SAMPLES[kind])
    writer.close()


#: How a program was called, as runs tell since they can be started and gone on with by others.
_PROGRAM = {
    "cwd": "/home/golden/lab",
    "argv": ["lab/train.py", "--queue", "with", "lr=0.1"],
    "module": "__main__",
    "package": "lab",
    "experiment": "golden",
    "id": "57",
}


@golden("a run that was queued by one process, begun by another and gone on with by a third")
def run_queued_and_resumed(place):
    writer = place.writer()
    place.append(writer, E.RUN_QUEUED, **SAMPLES[E.RUN_QUEUED], program=_PROGRAM)
    place.append(writer, E.SOURCE_ADDED, **SAMPLES[E.SOURCE_ADDED])
    writer.close()
    place.clock.sleep(3600)
    writer = place.resumed(2)
    place.append(writer, E.RUN_CLAIMED, worker="golden:4243")
    place.append(writer, E.RUN_STARTED, **SAMPLES[E.RUN_STARTED], program=_PROGRAM)
    place.single(writer, [("loss", step, 1.0 - step / 8) for step in range(3)])
    writer.append_output(1, b"three steps\n", 0, 25)
    writer.close()
    place.clock.sleep(3600)
    writer = place.resumed(3)
    place.append(writer, E.RUN_RESUMED, reason="DIED", last_seen=place.clock.time_ns())
    place.append(writer, E.HOST_FACTS, **SAMPLES[E.HOST_FACTS])
    place.single(writer, [("loss", step, 1.0 - step / 8) for step in range(3, 6)])
    writer.append_output(1, b"six steps\n", 25, 48)
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()


@golden("a run of which each process was given options of its own")
def run_with_options(place):
    writer = place.writer()
    place.append(writer, E.RUN_QUEUED, **SAMPLES[E.RUN_QUEUED], program=_PROGRAM)
    writer.close()
    place.clock.sleep(3600)
    writer = place.resumed(2)
    claimed = {"--capture": "sys", "--beat-interval": "5"}
    place.append(writer, E.RUN_CLAIMED, worker="golden:4243", options=claimed)
    place.append(writer, E.RUN_STARTED, **SAMPLES[E.RUN_STARTED], program=_PROGRAM)
    place.append(writer, E.RUN_ENDED, how="failed", status="FAILED")
    writer.close()
    place.clock.sleep(3600)
    writer = place.resumed(3)
    options = {"--capture": "fd", "--print-config": True, "--mongo_observer": "me:***@golden/db"}
    last = place.clock.time_ns()
    place.append(writer, E.RUN_RESUMED, reason="FAILED", last_seen=last, options=options)
    place.append(writer, E.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()


@golden("a queued run whose library lies in a folder of its own, on the path of then")
def run_queued_with_a_library(place):
    writer = place.writer()
    program = {**_PROGRAM, "path": ["/home/golden/project/src"]}
    place.append(writer, E.RUN_QUEUED, **SAMPLES[E.RUN_QUEUED], program=program)
    source = {name: SAMPLES[E.SOURCE_ADDED][name] for name in ("md5", "blob")}
    for name, more in (("train.py", {"main": True}), ("src/lib/sums.py", {"module": "lib.sums"})):
        place_of = {"filename": name, "path": f"/home/golden/project/{name}"}
        place.append(writer, E.SOURCE_ADDED, **place_of, **source, **more)
    writer.close()
