"""Environments of their own, for packages that stand beside this project and not in its environment."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from servers.mongo import CACHE, ServerMissingError


class Environment(NamedTuple):
    """An environment with packages of its own.

    Attributes
    ----------
    name
        Of its folder in the cache of the servers.
    what
        What it is for, to say where it can not be made.
    variable
        Of the environment: names a Python that has the packages.
    requirements
        What pip installs.
    """

    name: str
    what: str
    variable: str
    requirements: tuple[str, ...]

    def interpreter(self) -> Path | None:
        """Return the Python that has the packages, if there is one; make nothing."""
        named = os.environ.get(self.variable)
        if named:
            return Path(named)
        python = CACHE / self.name / "bin" / "python"
        complete = CACHE / self.name / ".complete"
        return python if complete.exists() and python.exists() else None

    def install(self) -> None:
        """Make it, unless it is there.

        Raises
        ------
        ServerMissingError
            pip could not; the text says why.
        """
        if os.environ.get(self.variable):
            return
        folder = CACHE / self.name
        folder.mkdir(parents=True, exist_ok=True)
        stamp = " ".join((sys.version.split()[0], *self.requirements))
        complete = folder / ".complete"
        with (CACHE / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if complete.exists() and complete.read_text() == stamp:
                return
            self._run([sys.executable, "-m", "venv", "--clear", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            options = ["--disable-pip-version-check", "--root-user-action=ignore"]
            self._run([*pip, *options, *self.requirements])
            complete.write_text(stamp)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            raise ServerMissingError(
                f"the environment with {self.what} can not be made "
                f"({self.variable} may name one):\n{done.stdout[-2000:]}"
            )
