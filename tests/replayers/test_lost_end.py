"""P7: the event that ends a run is damaged, and the seal of its file tells how it ended: so does every view."""

from __future__ import annotations

import json
import os
import uuid

import pytest
from golden.journals.samples import START

from sacred.journal.epoch_file import EpochFile
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.repair import repair_run
from sacred.journal.sealer import seal_file
from sacred.journal.writer import JournalWriter
from sacred.replayers.follower import Follower
from sacred.replayers.listing import outline
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.file import FileSink
from sacred.replayers.sinks.memory import PLACES, MemorySink

NAME = "w0000-e0001.jzst"


@pytest.fixture
def spec():
    """A view in memory."""
    url = uuid.uuid4().hex
    yield SinkSpec("memory", url, {}, f"memory:{url}")
    PLACES.pop(url, None)


@pytest.fixture
def folder(root):
    """The folder of a run that begins."""
    return root.claim()


def write(folder, status="TIMEOUT", how="interrupted", ends=True):
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    for step in range(200):
        writer.log_point("loss", step, step / 7)
    writer.append_output(1, b"half of a character: \xc3")
    writer.flush()
    if ends:
        writer.append(EventType.RUN_ENDED, how=how, status=status, result=42)
        writer.close()
    return writer


def sealed(folder, status="TIMEOUT", **how):
    """Write a run that ended and was sealed; return the bytes of its file."""
    write(folder, status, **how)
    seal_file(folder.journal, 0, 1, status=status)
    return (folder.journal / NAME).read_bytes()


def hit(folder, data, *, seal=False, begin=False):
    """Damage the event that ends the run, and one of the two places that tell of it."""
    index = EpochFile.of(folder.journal, 0, 1).index()
    damaged = bytearray(data)
    damaged[index.frames[-1].offset + 20] ^= 1
    if seal:
        damaged[index.end + 20] ^= 1
    if begin:
        damaged[30] ^= 1
    (folder.journal / NAME).write_bytes(damaged)


def follow(folder, spec, **options):
    follower = Follower(folder, MemorySink(spec), spec, **options)
    try:
        status = follower.run_once()
    finally:
        follower.close()
    assert (status.state, status.error) == ("current", None)
    return follower


def view(spec):
    return PLACES[spec.url].runs[1]


@pytest.mark.parametrize("also", [{}, {"seal": True}, {"begin": True}])
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TIMEOUT", "MY OWN"])
def test_a_view_has_the_status_that_the_seal_tells(folder, spec, status, also):
    """What `sacred ls` shows; and nothing is made up of what else was lost: time, result, trace."""
    how = {"COMPLETED": "completed", "FAILED": "failed"}.get(status, "interrupted")
    hit(folder, sealed(folder, status, how=how), **also)
    follower = follow(folder, spec)
    fields = view(spec).fields
    assert (status, status) == (fields["status"], outline(folder).status)
    assert (None, None, True) == (fields.get("stop_time"), fields["result"], follower.ended)
    assert view(spec).output.endswith("character: \N{REPLACEMENT CHARACTER}")
    repair_run(folder)
    follow(folder, spec, rebuild=True)
    assert fields == view(spec).fields


def test_a_file_view_has_it_too(folder, tmp_path):
    """The document that Sacred's own tools read is that of a run that is over."""
    hit(folder, sealed(folder))
    spec = SinkSpec("file", str(tmp_path / "out"), {}, "file:out")
    follower = Follower(folder, FileSink(spec), spec)
    assert follower.run_once().state == "current"
    follower.close()
    document = json.loads((tmp_path / "out" / "1" / "run.json").read_text())
    assert ("TIMEOUT", False) == (document["status"], "stop_time" in document)


def test_a_view_that_knew_the_end_keeps_all_of_it(folder, spec):
    """It was written before the damage: nothing of it is written again, by whoever looks."""
    data = sealed(folder)
    follow(folder, spec)
    before, revision = dict(view(spec).fields), view(spec).revision
    assert before["stop_time"] is not None
    hit(folder, data)
    for _ in range(2):
        assert follow(folder, spec).ended
    assert (before, revision) == (view(spec).fields, view(spec).revision)


def test_a_view_that_stands_before_the_end_is_brought_there(folder, spec):
    """It was followed up to the last point, then the run ended, was sealed and hit; once is enough."""
    writer = write(folder, ends=False)
    follow(folder, spec)
    assert "RUNNING" == view(spec).fields["status"]
    writer.append(EventType.RUN_ENDED, how="interrupted", status="TIMEOUT")
    writer.close()
    seal_file(folder.journal, 0, 1, status="TIMEOUT")
    hit(folder, (folder.journal / NAME).read_bytes())
    follow(folder, spec)
    assert "TIMEOUT" == view(spec).fields["status"]
    revision = view(spec).revision
    follow(folder, spec)
    assert revision == view(spec).revision


def test_a_run_that_was_resumed_since_is_running(folder, spec):
    """What an earlier file's seal tells counts no more, whatever is hit."""
    hit(folder, sealed(folder))
    index = EpochFile.of(folder.journal, 0, 1).index()
    writer = JournalWriter(
        folder.journal, JournalReader(folder.journal).journal_id, "second", None, None
    )
    writer.next_seq, writer._chain = index.next_seq, index.chain
    writer._open_epoch(2, "resume")
    writer.append(EventType.RUN_RESUMED)
    follow(folder, spec)
    assert ("RUNNING", "RUNNING") == (view(spec).fields["status"], outline(folder).status)
    second = folder.journal / "w0000-e0002.jzst"
    data = bytearray(second.read_bytes())
    data[20] ^= 1
    second.write_bytes(data)
    follow(folder, spec, rebuild=True)
    assert ("RUNNING", "RUNNING") == (view(spec).fields["status"], outline(folder).status)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    follow(folder, spec)
    assert "COMPLETED" == view(spec).fields["status"]


def test_the_writers_of_such_a_run_are_put_into_one_order(folder, spec):
    """It is over, so that the view is written by time, and still has the status."""
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.RUN_STARTED, **{**START, "run_id": 1})
    child = os.fork()
    if child == 0:
        writer.log_point("loss", 1, 1.0)
        os._exit(0)
    os.waitpid(child, 0)
    writer.log_point("loss", 2, 2.0)
    writer.append(EventType.RUN_ENDED, how="interrupted", status="TIMEOUT")
    writer.close()
    seal_file(folder.journal, 0, 1, status="TIMEOUT")
    hit(folder, (folder.journal / NAME).read_bytes())
    follow(folder, spec)
    assert ("time", "TIMEOUT") == (view(spec).stands.order, view(spec).fields["status"])
    revision = view(spec).revision
    follow(folder, spec)
    assert revision == view(spec).revision
