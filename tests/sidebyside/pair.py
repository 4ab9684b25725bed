"""Both sides at once: the same case goes to each, and what each answers comes back."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery import soak
from servers import peer

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("side.py")
PROJECT = Path(__file__).parents[2]
#: Seconds until a side that does not answer is given up; each case has a limit of its own before.
PATIENCE = 200


@dataclass(frozen=True)
class Case:
    """A script that defines ``ex``, and what is called then.

    Attributes
    ----------
    script
        Its source text.
    calls
        Expressions, evaluated one after the other where the script was.
    files
        More files of its folder: name -> text.
    argv
        The words of the command line, for a script that ends in ``automain``.
    settings
        Changed before the script: dotted name -> value.
    observed
        Whether an observer looks on.
    limit
        Seconds until it is killed, with all that it started.
    """

    script: str
    calls: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    observed: bool = True
    limit: float = 100

    def __str__(self) -> str:
        """Return the case as it can be typed again."""
        parts = [f"# {name}\n{text}" for name, text in self.files.items()]
        parts.append(f"# case.py\n{self.script}")
        if self.settings:
            parts.append(f"# settings: {self.settings}")
        if self.argv:
            parts.append(f"# words: {self.argv}")
        parts.extend(self.calls)
        return "\n".join(parts)


class SideError(Exception):
    """A side does not answer."""


class _Side:
    def __init__(self, python: str, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [python, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )

    def ask(self, case: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(case).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise SideError(self._log.read_text()[-2000:]) from error

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise SideError("no answer")
        line = self._process.stdout.readline()
        if not line:
            raise SideError(self._log.read_text()[-2000:])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(100)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


class Pair:
    """Both packages, ready to be compared."""

    def __init__(self, python: str, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._sides = {
            "theirs": _Side(python, _environment(None), folder / "theirs.log"),
            "ours": _Side(sys.executable, _environment(PROJECT), folder / "ours.log"),
        }

    def answers(self, case: Case) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the original made of a case, and what this project did.

        Raises
        ------
        SideError
            A side has ended, or hangs.
        """
        self._number += 1
        folders = {name: self._folder / name / str(self._number) for name in self._sides}
        try:
            for name, side in self._sides.items():
                folders[name].mkdir(parents=True)
                side.ask({**vars(case), "folder": str(folders[name])})
            theirs, ours = (side.answer() for side in self._sides.values())
        finally:
            for folder in folders.values():
                shutil.rmtree(folder, ignore_errors=True)
        return theirs, ours

    def stop(self) -> None:
        """End both processes."""
        for side in self._sides.values():
            side.stop()


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """Give both sides, as long as they are needed; `servers.peer` knows where the original is."""
    python = peer.interpreter()
    assert python is not None
    with soak.scratch() as folder:
        sides = Pair(str(python), folder)
        try:
            yield sides
        finally:
            sides.stop()


def _environment(package: Path | None) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    kept |= {
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "COLUMNS": "80",
        "SACRED_JOURNAL_DURABILITY": "process",
    }
    if package is not None:
        kept["PYTHONPATH"] = str(package)
    return kept
