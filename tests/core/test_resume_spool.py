"""Going on with a run whose last output is in its spool alone: it is recorded, or stays where it is."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from sacred.core.recorder import Recorder
from sacred.journal import EventType, JournalReader
from sacred.journal.root import RunFolder
from sacred.journal.spool import encode_record, read_spool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fd mode")

_SCRIPT = """
import os, resource, signal, sys
from sacred import Experiment

ex = Experiment("spooled", save_git_info=False)
if os.environ.get("NO_ROOM"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))

@ex.main
def main(_run):
    if _run.resumed is None:
        os.kill(os.getpid(), signal.SIGKILL)

ex.run_commandline()
"""
#: What is in no file but the spool: more than a file may have where there is no room.
_REST = [f"{number} {os.urandom(30_000).hex()}\n" for number in range(8)]


def _call(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "script.py", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _output(folder: Path) -> str:
    events = JournalReader(folder / "sacred_runs" / "1" / "journal").read()
    return b"".join(e.fields["data"] for e in events if e.type == EventType.OUTPUT).decode()


def test_the_spool_of_a_resumed_run_begins_with_a_hole(tmp_path: Path) -> None:
    """As the format says: zeros as far as the journal has output, then records; places go on counting."""
    script = textwrap.dedent(_SCRIPT).replace("if _run.resumed is None:", "if True:")
    (tmp_path / "script.py").write_text(
        script.replace("(_run):", "(_run):\n    print('x', flush=True)")
    )
    journal = tmp_path / "sacred_runs" / "1" / "journal"
    spool = journal / "w0000.spool"
    _call(tmp_path, "-C", "fd")
    with spool.open("ab") as file:
        file.write(encode_record(1, 1, b"the last words\n"))
    size = spool.stat().st_size
    _call(tmp_path, "-C", "fd", "--resume", "1")
    with spool.open("ab") as file:
        file.write(encode_record(1, 1, b"and the very last\n"))
    content = spool.read_bytes()
    assert (bytes(size), True) == (content[:size], content[size] in (1, 2))
    assert read_spool(spool, size) == read_spool(spool, 0)  # the hole is passed over
    assert "clean" == read_spool(spool, size).verdict
    ends = [e.fields for e in JournalReader(journal).read() if e.type == EventType.OUTPUT]
    assert max(fields["end"] for fields in ends) >= size
    assert "the last words\n" in _output(tmp_path)
    shown = subprocess.run(
        [sys.executable, "-m", "sacred", "show", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    assert ["the last words", "and the very last"] == [
        line.strip() for line in shown.splitlines() if "last w" in line or "very last" in line
    ]


def test_output_stays_in_the_spool_until_the_journal_has_it(tmp_path: Path) -> None:
    """P1, P6: without room nobody goes on, in a sentence, and nothing is lost; with room all of it is there."""
    (tmp_path / "script.py").write_text(textwrap.dedent(_SCRIPT))
    _call(tmp_path, "-C", "fd")
    spool = tmp_path / "sacred_runs" / "1" / "journal" / "w0000.spool"
    with spool.open("ab") as file:
        for line in _REST:
            file.write(encode_record(1, 1, line.encode()))
    before = read_spool(spool, 0)
    refused = _call(tmp_path, "--resume", "last", NO_ROOM="1")
    assert 0 != refused.returncode
    assert "what was printed before can not be recorded" in refused.stderr
    assert "Make room, and try again" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert before == read_spool(spool, 0)
    done = _call(tmp_path, "--resume", "last")
    assert 0 == done.returncode, done.stderr
    assert "".join(_REST) in _output(tmp_path)
    assert not spool.exists()


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (b"\x07 no record", True),
        (b"\0" * 600, False),
        (encode_record(1, 10**18, b"torn")[:-1], False),
    ],
)
def test_a_damaged_spool_is_kept(tmp_path: Path, end: bytes, kept: bool) -> None:
    """P1: what no record begins is told and set aside; what a kill or a power cut leaves is not."""
    (tmp_path / "script.py").write_text(textwrap.dedent(_SCRIPT))
    _call(tmp_path, "-C", "fd")
    journal = tmp_path / "sacred_runs" / "1" / "journal"
    spool, aside = journal / "w0000.spool", journal / "w0000.spool.damaged-1"
    with spool.open("ab") as file:
        file.write(encode_record(1, 1, b"whole\n"))
        place = file.tell()
        file.write(end + bool(kept) * encode_record(1, 10**18, b"behind\n"))
    content = spool.read_bytes()
    done = _call(tmp_path, "--resume", "last")
    assert 0 == done.returncode, done.stderr
    assert "whole\n" + bool(kept) * "behind\n" in _output(tmp_path)
    messages = [
        event.fields["text"]
        for event in JournalReader(journal).read()
        if event.type == EventType.MESSAGE and "spool" in event.fields["text"]
    ]
    assert [kept, kept, not kept] == [
        any(f"from byte {place} " in text and aside.name in text for text in messages),
        aside.exists() and aside.read_bytes() == content,
        not messages and not aside.exists(),
    ]
    assert not spool.exists()


def test_a_damaged_spool_is_kept_also_by_who_comes_behind_one_that_was_killed(
    tmp_path: Path,
) -> None:
    """The journal has what can be read of it already: the bytes that it has not are not removed."""
    (tmp_path / "script.py").write_text(textwrap.dedent(_SCRIPT))
    _call(tmp_path, "-C", "fd")
    journal = tmp_path / "sacred_runs" / "1" / "journal"
    spool, aside = journal / "w0000.spool", journal / "w0000.spool.damaged-1"
    with spool.open("ab") as file:
        file.write(b"\x07 no record" + encode_record(1, 10**18, b"behind\n"))
    content = spool.read_bytes()
    assert 0 == _call(tmp_path, "--resume", "last").returncode
    assert content == aside.read_bytes()
    # As a kill before the renaming leaves it, of a run that died again.
    os.replace(aside, spool)
    end = max(
        event.fields.get("end") or 0
        for event in JournalReader(journal).read()
        if event.type == EventType.OUTPUT
    )
    assert len(content) <= end
    recorder = Recorder(tmp_path / "sacred_runs")
    recorder.folder = RunFolder(journal.parent)
    recorder._take_spool(end)
    assert content == aside.read_bytes()
    assert not spool.exists()
