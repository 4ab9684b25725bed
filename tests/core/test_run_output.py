"""What a run prints, through the whole of it: odd bytes, much of it, filtered."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fd mode")

HEAD = """
import hashlib, json, os, subprocess, sys
from sacred import Experiment
from sacred.utils import apply_backspaces_and_linefeeds

ex = Experiment("output", save_git_info=False)
ex.add_config(seed=1)
"""
TAIL = """
if __name__ == "__main__":
    run = ex.run(options={"--capture": sys.argv[1]})
    with open("report.json", "w") as file:
        json.dump([run.folder, run.captured_out[:2000], run.result], file)
"""


def _start(tmp_path: Path, body: str, mode: str) -> Any:
    script = tmp_path / "script.py"
    script.write_text(HEAD + textwrap.dedent(body) + TAIL, encoding="utf-8")
    with open(tmp_path / "shown", "wb") as shown:
        done = subprocess.run(
            [sys.executable, str(script), mode],
            cwd=tmp_path,
            stdout=shown,
            stderr=subprocess.PIPE,
            timeout=240,
            check=False,
        )
    assert 0 == done.returncode, done.stderr[-3000:]
    return json.loads((tmp_path / "report.json").read_text())


def _raw(folder: str, stream: int = 1) -> bytes:
    pieces = (e.fields for e in JournalReader(folder).read() if e.name == "output")
    return b"".join(piece["data"] for piece in pieces if piece["stream"] == stream)


@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_odd_bytes(tmp_path: Path, mode: str) -> None:
    """OUT-04: bytes that are no text, a character in two writes, carriage returns and backspaces: kept as they are, shown as text, live."""
    folder, text, live = _start(
        tmp_path,
        r"""
        @ex.main
        def main(_run):
            out = sys.stdout.buffer
            for piece in (b"\xff\xfe\n", b"caf\xc3", b"\xa9\r42 %\b\b\n", b"\0\x1b[1m\n"):
                out.write(piece)
                out.flush()
            _run._look()
            return _run.captured_out
        """,
        mode,
    )
    expected = b"\xff\xfe\ncaf\xc3\xa9\r42 %\b\b\n\0\x1b[1m\n"
    assert expected == _raw(folder) == (tmp_path / "shown").read_bytes()
    shown = expected.decode("utf-8", "replace")
    assert shown in text
    if mode == "sys":  # in fd mode another process is on its way with the last of it
        assert shown == live


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_a_hundred_megabytes(tmp_path: Path, mode: str) -> None:
    """OUT-02: 100 MB come through whole, on the terminal and in the journal, in both modes."""
    folder, _, digest = _start(
        tmp_path,
        r"""
        @ex.main
        def main():
            digest = hashlib.sha256()
            for number in range(1600):
                piece = f"{number:09}\n" * 6554
                digest.update(piece.encode())
                sys.stdout.write(piece)
            return digest.hexdigest()
        """,
        mode,
    )
    raw = _raw(folder)
    assert 1600 * 65540 == len(raw)
    assert digest == hashlib.sha256(raw).hexdigest()
    assert digest == hashlib.sha256((tmp_path / "shown").read_bytes()).hexdigest()
    assert verify(RunFolder.at(folder)).clean


@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_raw_and_filtered_text_are_kept(tmp_path: Path, mode: str) -> None:
    """OUT-06: the bytes as they were printed, and what the filter makes of them, as events of their own; the end is exact."""
    folder, text, calls = _start(
        tmp_path,
        r"""
        calls = []
        def filtered(text):
            calls.append(len(text))
            return apply_backspaces_and_linefeeds(text)
        ex.captured_out_filter = filtered

        @ex.main
        def main(_run):
            for number in range(300):
                print(f"\rprogress {number}", end="", flush=True)
                if number % 100 == 0:
                    _run._look()
            print("\ndone")
            return len(calls)
        """,
        mode,
    )
    assert b"\rprogress 0\rprogress 1" in _raw(folder)
    assert "progress 299\ndone\n" in text
    kept = ""
    for event in JournalReader(folder).read():
        if event.name == "output_filtered":
            kept = kept[: event.fields["keep"]] + event.fields["text"]
    assert text == kept
    assert calls < 100  # of 302 writes


@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_a_filter_that_leaves_nothing(tmp_path: Path, mode: str) -> None:
    """OUT-06: that nothing is left is recorded, or views would show what was to be left out."""
    folder, text, _ = _start(
        tmp_path,
        """
        ex.captured_out_filter = lambda text: ""

        @ex.main
        def main():
            print("not to be shown")
        """,
        mode,
    )
    assert "" == text
    assert b"not to be shown\n" == _raw(folder)
    events = [e.fields for e in JournalReader(folder).read() if e.name == "output_filtered"]
    assert [("", 0)] == [(fields["text"], fields["keep"]) for fields in events]


@pytest.mark.parametrize("mode", ["sys", "fd"])
def test_a_filter_that_fails_stops_nothing(tmp_path: Path, mode: str) -> None:
    """OUT-06: the run completes with its output as it is, and one line says what was wrong."""
    folder, text, _ = _start(
        tmp_path,
        """
        ex.captured_out_filter = lambda text: text.nonsense()

        @ex.main
        def main():
            print("printed")
        """,
        mode,
    )
    assert "printed\n" in text
    assert b"printed\n" == _raw(folder)
    names = [e.fields["status"] for e in JournalReader(folder).read() if e.name == "run_ended"]
    assert ["COMPLETED"] == names
