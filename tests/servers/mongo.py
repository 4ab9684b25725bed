"""A MongoDB server for the tests.

A ``mongod`` on the PATH wins; else it is mongo-java-server on its H2 store, which speaks MongoDB's
protocol, enforces the 16 MB limit and unique indexes, and keeps its data in a file. Its jars are fetched
once from Maven Central into ``.cache/servers/mongo``.

Where ``$SACRED_TEST_MONGO`` names a server, the tests that share one use that; those that kill and
restart their server start one of their own all the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("SACRED_TEST_CACHE", HERE.parents[1] / ".cache" / "servers"))
JARS = CACHE / "mongo"
SOURCES = (HERE / "pom.xml", HERE / "Serve.java")
PATIENCE = 60.0
_LOWEST_PORT = 15_000
#: Debian packages by the programs they bring.
PACKAGES = {"java": "default-jdk-headless", "javac": "default-jdk-headless", "mvn": "maven"}


class ServerMissingError(RuntimeError):
    """A server that the tests need can not be had; the text says what to install."""


def missing_packages() -> list[str]:
    """Return the Debian packages without which no server can be started."""
    if shutil.which("mongod"):
        return []
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})


def install() -> None:
    """Fetch what the server is made of, unless it is there.

    Several processes may do it at once: one works, the others wait.

    Raises
    ------
    ServerMissingError
        Java or Maven is missing, or the jars can not be fetched.
    """
    if shutil.which("mongod"):
        return
    missing = missing_packages()
    if missing:
        raise ServerMissingError(
            f"the tests need a MongoDB server: apt-get install {' '.join(missing)} "
            "(or put mongod on the PATH)"
        )
    JARS.mkdir(parents=True, exist_ok=True)
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES)).hexdigest()
    complete = JARS / ".complete"
    with (JARS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists() and complete.read_text() == stamp:
            return
        fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        _run([*fetch, f"-DoutputDirectory={JARS}"], 600)
        # Compiled once: running a source file costs a second and a half at every start.
        _run(["javac", "-d", str(JARS), "-cp", f"{JARS}/*", str(HERE / "Serve.java")], 120)
        complete.write_text(stamp)


def _run(command: list[str], seconds: float) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise ServerMissingError(
            f"the MongoDB server of the tests can not be made, {command[0]} says:\n"
            f"{done.stdout[-2000:]}"
        )


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, for a server that may be away for a while.

    It is none of those that the system gives to whoever connects. One of them would be taken while the
    server is down, at last by a client that asks for it: on one machine such a connection meets itself,
    and from then on the server finds its port in use.
    """
    try:
        given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        most = int(given.split()[0])
    except (OSError, ValueError):
        most = 0
    chance = random.SystemRandom()
    for _ in range(100 if most > _LOWEST_PORT else 0):
        port = chance.randrange(_LOWEST_PORT, most)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class MongoServer:
    """One server process with its own data and port; it ends with the process that started it.

    Not for use by several threads at once. ``url`` is right from the first ``start`` on and stays.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_answered = False

    @property
    def url(self) -> str:
        """The address, as PyMongo wants it."""
        return f"mongodb://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, or start it again on the same data and port, and wait until it answers.

        Raises
        ------
        ServerMissingError
            It can not be made, or did not answer; the text holds the end of its log.
        """
        install()
        if self._process is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Between the search for a free port and its use another test may take it.
        for chance in range(3):
            self._spawn()
            if self._answers():
                self._has_answered = True
                return
            self.kill()
            if not self._has_answered and chance < 2:
                self.port = free_port()
        raise ServerMissingError(
            "the MongoDB server did not answer:\n" + (self.folder / "log").read_text()[-2000:]
        )

    def _spawn(self) -> None:
        mongod = shutil.which("mongod")
        if mongod:
            command = [mongod, "--dbpath", str(self.folder), "--bind_ip", "127.0.0.1"]
            command += ["--port", str(self.port)]
        else:
            data = str(self.folder / "data")
            command = ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m"]
            command += ["-cp", f"{JARS}/*:{JARS}", "Serve", data, str(self.port)]
        setpriv = shutil.which("setpriv")
        if setpriv:  # the kernel ends it when its parent was killed; same pid, setpriv does an exec
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # its end is the Java server's end
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _answers(self) -> bool:
        import pymongo
        from pymongo.errors import PyMongoError

        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                with pymongo.MongoClient(self.url, serverSelectionTimeoutMS=300) as client:
                    client.admin.command("ping")
            except PyMongoError:
                continue
            return self._process.poll() is None
        return False

    def stop(self) -> None:
        """Stop it in good order: all that it acknowledged is kept."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if shutil.which("mongod"):
            process.terminate()
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(100)

    def kill(self) -> None:
        """Kill it as the kernel would; a second of what it acknowledged may be gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(100)
            if process.stdin is not None:
                process.stdin.close()

    def backup(self) -> Path:
        """Copy what it holds, stopping it for that moment; ``restore`` takes the copy."""
        copy = self.folder.with_name(self.folder.name + "-backup")
        self.stop()
        shutil.copytree(self.folder, copy)
        self.start()
        return copy

    def restore(self, copy: Path) -> None:
        """Kill it and start it with what it held at an earlier time."""
        self.kill()
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)
        self.start()

    def restart(self) -> None:
        """Stop it in good order and start it on the same data and port."""
        self.stop()
        self.start()
