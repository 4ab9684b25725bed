"""The samples that were typed anew: where they are, and how one is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sacred.journal import EventType, JournalReader, JournalRoot

HERE = Path(__file__).parent
#: The folders of samples, one a document.
DOCUMENTS = ("overview", "reference", "observing", "iris", "altar")
SECONDS = 120


def program(sample: str, folder: Path) -> Path:
    """Copy a sample, with all files of its document, into a folder, and return where it is then."""
    place = folder / Path(sample).parent.name
    if not place.exists():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE / Path(sample).parent, place, ignore=ignored)
    return place / f"{Path(sample).name}.py"


def run(
    sample: str,
    folder: Path,
    *words: str,
    python: str = sys.executable,
    before: tuple[str, ...] = (),
    typed: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a sample in a folder, with words behind its name; ``typed``: line by line at Python's prompt."""
    path = program(sample, folder)
    command = [python, "-W", "ignore", *before, *([] if typed else [str(path)]), *words]
    return subprocess.run(
        command,
        cwd=folder,
        input=path.read_text(encoding="utf-8") if typed else "",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "MPLBACKEND": "Agg", "NO_COLOR": "1"},
    )


def printed(sample: str, folder: Path, *words: str, **how: object) -> str:
    """Return what a sample prints on stdout; it has to end well."""
    done = run(sample, folder, *words, **how)  # type: ignore[arg-type]
    assert 0 == done.returncode, done.stderr
    return done.stdout


def ended(folder: Path, number: int = 1) -> dict[str, object]:
    """Return how a run of the folder's root ended: status, result, ..."""
    journal = JournalRoot(folder / "sacred_runs").run(number).journal
    (event,) = [
        event for event in JournalReader(journal).read() if event.type == EventType.RUN_ENDED
    ]
    return event.fields
