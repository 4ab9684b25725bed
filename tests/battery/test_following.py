"""Row 14 of the battery: reading what is being written."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest

from battery import oracle, soak
from sacred.journal import EventType, JournalReader, JournalWriter, RunFolder
from sacred.journal.errors import NotAJournalError
from sacred.journal.following import follow
from sacred.journal.seal import seal_run
from sacred.journal.verdicts import Foreign, Gap

WRITER = textwrap.dedent(
    """
    import sys, time
    from sacred.journal import EventType, JournalWriter, epoch_writer
    folder, rate, count, rotate = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if rotate == "rotate":
        epoch_writer.EPOCH_BYTES = 20_000
    writer = JournalWriter.create(folder)
    print("begun", flush=True)
    for step in range(count):
        writer.log_point("x", step, step / 7)
        if step % 100 == 0:
            writer.append(EventType.MESSAGE, level="info", text=str(step))
        if rate:
            time.sleep(1 / rate)
    writer.close()
    """
)
COUNTS = {10: 15, 1000: 1_200, 0: 60_000}


@contextlib.contextmanager
def writing(folder, rate, rotate="no"):
    command = [sys.executable, "-c", WRITER, folder, rate, COUNTS[rate], rotate]
    process = subprocess.Popen(
        list(map(str, command)), env=soak.environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert "begun" == process.stdout.readline().strip()
        yield process
        assert 0 == process.wait(60)
    finally:
        process.kill()
        process.wait(100)
        process.stdout.close()


def steps_of(event):
    if event.type == EventType.METRIC_POINT:
        return [event.fields["step"]]
    return list(event.fields["table"].steps) if event.type == EventType.METRIC_TABLE else []


def damage(reader):
    return [verdict for verdict in reader.verdicts if isinstance(verdict, Foreign | Gap)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["watchdog", "polling"])
@pytest.mark.parametrize("rate", COUNTS)
@pytest.mark.parametrize("rotate", ["no", "rotate"])
def test_a_follower_is_given_each_event_once(tmp_path, how, rate, rotate, record_property):
    """Row 14: 10 Hz, 1 kHz and as fast as it can, over many files, sealed under the reader's eyes: each point once, in order, and no word of damage."""
    folder = tmp_path / "1" / "journal"
    with writing(folder, rate, rotate) as process:
        stop = threading.Event()
        waiter = threading.Thread(target=lambda: (process.wait(60), stop.set()))
        waiter.start()
        reader = JournalReader(folder)
        found, looks = [], 0
        for event in follow(reader, stop=stop, notify=how == "watchdog"):
            found += steps_of(event)
            looks += 1
            if looks % 50 == 0:
                seal_run(RunFolder.at(folder.parent))  # what the writer has left behind
            assert [] == damage(reader)
        reader.close()
        waiter.join(60)
    assert list(range(COUNTS[rate])) == found
    record_property("battery", ("row 14: points followed while they were written", len(found)))


@pytest.mark.slow
def test_a_copy_of_a_growing_journal_is_a_prefix(tmp_path, record_property):
    """Row 14, P3: shutil.copytree while it is written: every copy reads as a beginning, never as damaged."""
    folder, copies, before = tmp_path / "journal", 0, 0
    with writing(folder, 0) as process:
        while process.poll() is None:
            copy = tmp_path / f"copy{copies}"
            shutil.copytree(folder, copy)
            try:
                reader = JournalReader(copy)
            except NotAJournalError:
                continue
            steps = [step for event in reader.read() for step in steps_of(event)]
            assert [] == damage(reader)
            reader.close()
            assert list(range(len(steps))) == steps
            assert len(steps) >= before
            copies, before = copies + 1, len(steps)
            shutil.rmtree(copy)
    assert copies
    record_property("battery", ("row 14: copies of growing journals", copies))


def test_zeros_that_become_data_are_waited_for(tmp_path):
    """Row 14: as on NFS the size is there before the content: not yet, never damage, and then each event once."""
    writer = JournalWriter.create(tmp_path / "real")
    for number in range(40):
        writer.append(EventType.MESSAGE, level="info", text=str(number) + "." * 30)
    writer.close()
    content = writer.path.read_bytes()
    seen_at = tmp_path / "seen" / writer.path.name
    seen_at.parent.mkdir()
    began = content[:400]
    seen_at.write_bytes(began)
    reader, texts = JournalReader(seen_at.parent), []

    def look():
        for frame in reader.poll():
            texts.extend(e.fields["text"] for e in frame.events if e.type == EventType.MESSAGE)
        assert [] == damage(reader)

    look()
    for end in range(450, len(content), 97):
        zeros = min(len(content), end + 300) - end
        seen_at.write_bytes(content[:end] + bytes(zeros))
        look()
        seen_at.write_bytes(content[: end + zeros // 2] + bytes(zeros - zeros // 2))
        look()
    seen_at.write_bytes(content)
    look()
    reader.close()
    assert oracle.texts(oracle.look(writer.folder)) == texts


def test_a_frozen_time_of_change_hides_nothing(tmp_path):
    """Row 14: a reader that polls looks at the size, not at when the file changed."""
    writer = JournalWriter.create(tmp_path / "journal")
    reader = JournalReader(writer.folder)
    found = []
    for number in range(20):
        writer.append(EventType.MESSAGE, level="info", text=str(number))
        os.utime(writer.path, ns=(10**18, 10**18))
        os.utime(writer.folder, ns=(10**18, 10**18))
        for frame in reader.poll():
            found += [e.fields["text"] for e in frame.events if e.type == EventType.MESSAGE]
        assert number + 1 == len(found)
    writer.close()
    reader.close()
