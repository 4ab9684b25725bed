"""`sacred seal` and `sacred repair`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from sacred.journal import EventType, JournalWriter
from sacred.journal.codec import pack
from sacred.journal.spool import encode_record

_ENDS = """
import sys
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={"name": "x"}, host={})
for step in range(900):
    writer.log_point("loss", step, step / 7)
writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
writer.close()
"""


@pytest.fixture
def ended(root):
    """A run that another process wrote, which is gone."""
    folder = root.journals.claim()
    command = [sys.executable, "-c", _ENDS, str(folder.journal)]
    subprocess.run(command, check=True, timeout=60)
    return folder


def test_sealing(root, run_sacred, ended):
    """Ended runs get smaller, once; a living one is left alone, and none of it is a failure."""
    root.completed()
    done = run_sacred("seal", "--all", "--json")
    assert done.code == 0
    first, second = json.loads(done.out)
    assert (first["state"], second["state"]) == ("sealed", "growing")  # this process lives
    assert first["after"] < first["before"]
    assert run_sacred("seal", "1").out == "run 1 w0000-e0001.jzst: already\n"
    assert run_sacred("verify", "1").code == 0
    assert run_sacred("query", "select count(*) as n from metrics where run = 1").out == "n\n900\n"


def test_sealing_tells_what_it_left_out(run_sacred, ended):
    """A power cut left zeros: their number is told, and nothing is damaged."""
    path = ended.journal / "w0000-e0001.jzst"
    path.write_bytes(path.read_bytes() + bytes(4096))
    done = run_sacred("verify", "1")
    assert (0, True) == (done.code, done.out.startswith("run 1: tail, 902 events in 1 file"))
    done = run_sacred("seal", "1")
    assert 0 == done.code
    assert done.out.startswith("run 1 w0000-e0001.jzst: sealed, ")
    assert done.out.endswith(" bytes (its last 4,096 bytes held no whole event)\n")
    assert "run 1: clean, 902 events" in run_sacred("verify", "1").out


def test_a_damaged_run_is_sealed_as_far_as_that_goes(run_sacred, ended):
    """What is whole is sealed; the rest is named, with the command; exit code 1."""
    first = ended.journal / "w0000-e0001.jzst"
    first.with_name("w0001-e0001.jzst").write_bytes(first.read_bytes())
    data = bytearray(first.read_bytes())
    data[-300] ^= 1
    first.write_bytes(data)
    done = run_sacred("seal", "1", "--json")
    assert 1 == done.code
    records = json.loads(done.out)
    assert ["damaged", "damaged"] == [record["state"] for record in records]
    assert [None, None] == [record["left_out"] for record in records]
    first, second = run_sacred("seal", "1").out.splitlines()
    assert "damaged: it is not whole: repair it first, with sacred repair 1" in first
    assert "it is of something else than this run: move it out of the folder" in second
    assert "sacred repair" not in second


def test_repairing(root, run_sacred, ended):
    """A damaged run is repaired, its loss stays named, and verify then calls it clean."""
    file = root.file(ended)
    assert run_sacred("repair", "1").out == "run 1: nothing to repair\n"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert run_sacred("verify", "1").code == 1
    sealing = run_sacred("seal", "1")
    assert sealing.code == 1
    assert sealing.out.endswith(": repair it first, with sacred repair 1\n")
    assert "it is damaged" not in sealing.out
    done = run_sacred("repair", "1")
    assert done.code == 0
    assert done.out.startswith("run 1 w0000-e0001.jzst: repaired, ")
    assert done.out.endswith("as it was: w0000-e0001.jzst.damaged-1\n")
    checked = run_sacred("verify", "1")
    assert (0, "run 1: clean") == (checked.code, checked.out.partition(",")[0])
    assert "lost before it was repaired" in checked.out
    assert run_sacred("events", "1").code == 0
    assert "lost before it was repaired" in run_sacred("ls").out


@pytest.mark.parametrize("verb", ["seal", "repair"])
@pytest.mark.parametrize("terminal", [True, False])
def test_waiting_is_told_at_once(root, ended, capsys, monkeypatch, verb, terminal):
    """Another process holds a run: what is waited for is said once on stderr, on a terminal or not."""
    from sacred import cli
    from sacred.journal import locked_journal

    holds = locked_journal(ended.journal)
    holds.__enter__()
    pauses = []

    def pause(seconds):
        pauses.append(capsys.readouterr())
        if len(pauses) == 3:
            holds.__exit__(None, None, None)

    monkeypatch.setattr("sacred.journal.folder_lock.time.sleep", pause)
    monkeypatch.setattr("sacred.cli.terminal.is_terminal", lambda *_: terminal)
    assert 0 == cli.main([verb, "--all", "-J", str(root.path)])
    assert [
        (
            "sacred: waiting for another process that seals, repairs or goes on with run 1, for a minute "
            "at most\n"
        ),
        "",
        "",
    ] == [re.sub(r"\r\x1b\[K[^\r\n]*\r\x1b\[K", "", pause.err) for pause in pauses]  # the bar
    assert "" == capsys.readouterr().err


_DIES = """
import sys, time
from sacred.journal import EventType, JournalWriter
writer = JournalWriter.create(sys.argv[1])
hour = time.time_ns() - 3_600_000_000_000
writer.append(EventType.RUN_STARTED, run_id=1, name="x", command="main", config={}, meta={},
              experiment={"name": "x"}, host={}, time_ns=hour)
writer.append(EventType.HEARTBEAT, time_ns=hour + 5_000_000_000)
writer.close()
"""


def test_sealing_moves_nothing_that_is_shown(root, run_sacred):
    """P7: what is said of a run that died, its last sign of life too, is the same before and after."""
    folder = root.journals.claim()
    command = [sys.executable, "-c", _DIES, str(folder.journal)]
    subprocess.run(command, check=True, timeout=60)
    questions = (("ls", "--json"), ("show", "1", "--json"), ("query", "select * from runs"))
    before = [run_sacred(*words).out for words in questions]
    assert json.loads(before[0])[0]["duration"] == 5.0
    assert "sealed" in run_sacred("seal", "1").out
    assert before == [run_sacred(*words).out for words in questions]


def test_one_run_that_can_not_be_read_stops_no_other(root, run_sacred, ended):
    """A run of a later version is named, and the runs behind it are sealed and repaired all the same."""
    newer = root.journals.claim()
    content = root.file(ended).read_bytes()
    newer.journal.mkdir(parents=True, exist_ok=True)
    (newer.journal / "w0000-e0001.jzst").write_bytes(content)
    writer = JournalWriter.create(root.journals.claim().journal)
    writer.append(EventType.MESSAGE, level="info", text="of a later version")
    writer._exclusively(writer._emit, pack({"t": 1, "e": 127}), 1)
    writer.close()
    last = root.journals.claim()
    subprocess.run([sys.executable, "-c", _ENDS, str(last.journal)], check=True, timeout=60)
    done = run_sacred("seal", "--all")
    assert done.code == 2
    lines = done.out.splitlines()
    assert "run 3: failed: " in lines[2]
    assert "upgrade sacred-journal" in lines[2]
    assert lines[3].startswith("run 4 w0000-e0001.jzst: sealed, ")
    done = run_sacred("repair", "--all", "--json")
    assert done.code == 2
    assert [3] == [record["run"] for record in json.loads(done.out)]


def test_what_can_not_be_repaired(root, run_sacred):
    """A pipe with the name of a file, and files without a frame: said, and no other run is stopped."""
    os.mkfifo(root.completed().journal / "w0001-e0001.jzst")
    root.file(root.completed()).write_bytes(b"something else")
    root.completed()
    done = run_sacred("repair", "--all")
    assert done.code == 1
    assert done.out.splitlines() == [
        (
            "run 1 w0001-e0001.jzst: not repaired: it is no regular file: move it out of the folder; "
            "see sacred verify 1"
        ),
        "run 2: nothing that a repair could keep, see sacred verify 2",
        "run 3: nothing to repair",
    ]
    assert 1 == run_sacred("repair", "2").code
    assert 1 == run_sacred("seal", "2").code
    (root.journals.run(2).journal / "w0000.spool").write_bytes(encode_record(1, 10**18, b"last"))
    assert "remove the run's folder: w0000.spool in it holds" in run_sacred("verify", "2").out
    root.file(root.journals.run(2)).write_bytes(b"")
    assert (0, 0) == (run_sacred("repair", "2").code, run_sacred("seal", "2").code)
