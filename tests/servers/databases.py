"""PostgreSQL and MariaDB servers for the tests, from the system's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from pathlib import Path

from servers.mongo import ServerMissingError, free_port

PATIENCE = 60.0
#: Debian packages by the programs they bring.
PACKAGES = {"initdb": "postgresql", "mariadbd": "mariadb-server"}


def program(name: str) -> str | None:
    """Return the path of a server's program; None if it is not installed."""
    found = shutil.which(name)
    if found is None and name in {"initdb", "postgres"}:
        versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
        found = str(versions[-1]) if versions else None
    if found is None and name == "mariadbd":
        found = shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return found


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.parts[-3].split(".") if part.isdecimal())


def missing_packages() -> list[str]:
    """Return the Debian packages without which no server can be started."""
    return sorted({package for name, package in PACKAGES.items() if program(name) is None})


class DatabaseServer:
    """One server process with its own data and port; it ends with the process that started it.

    Not for use by several threads at once. ``port`` stays the same once it has answered.
    """

    #: The server's program, one that says whether it is installed, and the user it runs as where the
    #: tests are root's.
    name = ""
    needs = ""
    user = ""
    scheme = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if os.geteuid() == 0:
            # The server's user has to reach it, and every new session of pytest shuts the folder
            # above its own to all others.
            self.folder = Path(tempfile.mkdtemp(prefix="sacred-test-server-"))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._has_answered = False

    # -- to be given ---------------------------------------------------------------------------

    def make(self) -> list[str]:
        """Return the command that makes the data."""
        raise NotImplementedError

    def serve(self) -> list[str]:
        """Return the command that serves it."""
        raise NotImplementedError

    def ask(self, *statements: str, database: str = "") -> None:
        """Run statements as the server's own user; raises if it does not answer."""
        raise NotImplementedError

    def drop(self, database: str) -> None:
        """Delete a database, whoever is connected to it."""
        self.ask(f"DROP DATABASE {database}")

    # -- life ----------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """Where the data is."""
        return self.folder / "data"

    def url(self, database: str, login: str | None = None) -> str:
        """Return the address of a database, as a person writes it."""
        return f"{self.scheme}://{login or self.login}@127.0.0.1:{self.port}/{database}"

    @property
    def login(self) -> str:
        """The user that may do everything."""
        return "root"

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, or start it again on the same data and port, and wait until it answers.

        Raises
        ------
        ServerMissingError
            It is not installed, or did not answer; the text holds the end of its log.
        """
        if program(self.needs) is None:
            raise ServerMissingError(
                f"the tests need a server of {self.name}: apt-get install {PACKAGES[self.needs]}"
            )
        if self._process is not None:
            return
        if not self.data.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.data.mkdir()
            if os.geteuid() == 0:
                self._hand_over()
            self._run(self.make())
        for chance in range(3):
            self._spawn()
            if self._answers():
                self._has_answered = True
                return
            self.kill()
            if not self._has_answered and chance < 2:
                self.port = free_port()
        raise ServerMissingError(
            f"the server {self.name} did not answer:\n" + self._log.read_text()[-2000:]
        )

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _hand_over(self) -> None:
        """Give the folder to the user the server runs as."""
        user = pwd.getpwnam(self.user)
        for path in (self.folder, self.data):
            os.chown(path, user.pw_uid, user.pw_gid)

    def _identity(self) -> dict[str, object]:
        if os.geteuid() != 0:
            return {}
        user = pwd.getpwnam(self.user)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
            **self._identity(),  # type: ignore[arg-type]
        )
        if done.returncode:
            raise ServerMissingError(f"{command[0]} says:\n{done.stdout[-2000:]}")

    def _spawn(self) -> None:
        command = self.serve()
        setpriv = shutil.which("setpriv")
        if setpriv:  # the kernel ends it when its parent was killed; same pid, setpriv does an exec
            command = [setpriv, "--pdeathsig", "QUIT", *command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._identity(),  # type: ignore[arg-type]
            )

    def _answers(self) -> bool:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                return False
            try:
                self.ask("SELECT 1")
            except Exception:
                time.sleep(0.05)
                continue
            return self._process.poll() is None
        return False

    def stop(self) -> None:
        """Stop it in good order: all that it acknowledged is kept."""
        self._end(signal.SIGINT if self.name == "postgres" else signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as the kernel would."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if number == signal.SIGKILL:
            self._kill_children(process.pid)
        process.send_signal(number)
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(100)

    def _kill_children(self, pid: int) -> None:
        """Kill the processes a server has for its connections: they hold the port and the data."""
        import psutil

        try:
            children = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:  # it ended by itself: its port was taken, its disk is full
            return
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass


class PostgresServer(DatabaseServer):
    """PostgreSQL, which trusts everybody; ``stranger`` needs a password that nobody knows."""

    name, needs, user, scheme = "postgres", "initdb", "postgres", "postgresql"

    @property
    def login(self) -> str:
        return "postgres"

    def make(self) -> list[str]:
        initdb = program("initdb") or "initdb"
        return [initdb, "-D", str(self.data), "-A", "trust", "-U", "postgres", "--no-sync"]

    def serve(self) -> list[str]:
        postgres = program("postgres") or "postgres"
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "fsync": "off"}
        options |= {"unix_socket_directories": str(self.data), "max_connections": "60"}
        return [postgres, "-D", str(self.data), *(f"-c{k}={v}" for k, v in options.items())]

    def ask(self, *statements: str, database: str = "") -> None:
        import psycopg

        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={database or 'postgres'}",
            connect_timeout=5,
            autocommit=True,
        ) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def drop(self, database: str) -> None:
        self.ask(f"DROP DATABASE {database} WITH (FORCE)")


class MariaServer(DatabaseServer):
    """MariaDB, whose ``root`` has no password."""

    name, needs, user, scheme = "mariadbd", "mariadbd", "mysql", "mysql"

    def make(self) -> list[str]:
        install = shutil.which("mariadb-install-db") or "mariadb-install-db"
        options = [f"--user={self.user}"] if os.geteuid() == 0 else []
        options += ["--auth-root-authentication-method=normal", "--skip-test-db"]
        return [install, "--no-defaults", f"--datadir={self.data}", *options]

    def serve(self) -> list[str]:
        mariadbd = program("mariadbd") or "mariadbd"
        return [
            mariadbd,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.data}/s.sock",
            f"--pid-file={self.data}/pid",
            "--innodb-flush-log-at-trx-commit=2",
        ]

    def ask(self, *statements: str, database: str = "") -> None:
        import pymysql

        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            database=database or None,
            connect_timeout=5,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
