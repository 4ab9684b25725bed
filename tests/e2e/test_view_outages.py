"""What an experiment's process pays for views whose servers do not answer: a bounded wait, and no more.

A test here that fails would hang: what it allows is far more than what is waited.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from sacred import Experiment
from sacred.observers import (
    GoogleCloudStorageObserver, MongoObserver, S3Observer, SqlObserver,
)

kinds, place = sys.argv[1].split(","), sys.argv[2]
required = len(sys.argv) > 3
made = {
    "mongo": lambda: MongoObserver(url=f"mongodb://{place}", db_name="runs", required=required),
    "postgres": lambda: SqlObserver(f"postgresql://u:pw@{place}/runs", required=required),
    "maria": lambda: SqlObserver(f"mysql://u:pw@{place}/runs", required=required),
    "s3": lambda: S3Observer(
        bucket="bucket", basedir="runs", endpoint_url=f"http://{place}", region="us-east-1",
        required=required,
    ),
    "gcs": lambda: GoogleCloudStorageObserver(bucket="bucket", basedir="runs", required=required),
}
ex = Experiment("outage", save_git_info=False)
for kind in kinds:
    ex.observers.append(made[kind]())

@ex.main
def main(_run):
    print("BEGAN")
    for step in range(100):
        _run.log_scalar("loss", 0.5, step)
    return 7

run = ex.run()
print("RESULT", run.result)
"""

KINDS = ("mongo", "postgres", "maria", "s3", "gcs")


@pytest.fixture
def silent():
    """The place of a server that takes connections and says nothing."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    held = []

    def accept():
        while True:
            try:
                held.append(listener.accept()[0])
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(100)
    for connection in held:
        connection.close()


@pytest.fixture
def nobody():
    """A place where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{one.getsockname()[1]}"


def run_program(folder, kinds, place, *more, wait="1"):
    (folder / "outage.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, "-W", "ignore", "outage.py", ",".join(kinds), place, *more],
        cwd=folder,
        env={
            **os.environ,
            "SACRED_JOURNAL_VIEW_WAIT": wait,
            "STORAGE_EMULATOR_HOST": f"http://{place}",
            "AWS_ACCESS_KEY_ID": "key-of-nobody",
            "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _assert_ran(done, folder, kinds):
    assert done.returncode == 0, done.stderr
    assert "RESULT 7" in done.stdout
    assert (folder / "sacred_runs" / "1" / "journal" / "w0000-e0001.jzst").exists()
    # Which views are behind is said; no password is.
    said = done.stderr + done.stdout
    assert said.count("behind") >= 1, said
    assert ":pw@" not in said
    assert "secret-of-nobody" not in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_says_nothing(tmp_path, silent, kind):
    """The run begins after the wait for an id, and ends after the wait for its view."""
    _assert_ran(run_program(tmp_path, [kind], silent), tmp_path, [kind])


def test_five_servers_that_say_nothing(tmp_path, silent):
    """Five silent views share the wait for an id and that at the end, and are told of."""
    _assert_ran(run_program(tmp_path, KINDS, silent), tmp_path, KINDS)


def test_five_servers_that_are_down(tmp_path, nobody):
    """As if there were none, but for what is said."""
    _assert_ran(run_program(tmp_path, KINDS, nobody), tmp_path, KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_required_server_that_is_down(tmp_path, nobody, kind):
    """required=True: the run does not begin, and a sentence says which view."""
    done = run_program(tmp_path, [kind], nobody, "required")
    assert done.returncode == 1, done.stderr
    assert "BEGAN" not in done.stdout
    assert "can not be written" in done.stderr
    assert ":pw@" not in done.stderr


@pytest.mark.server
@pytest.mark.parametrize("kind", ["mongo", "postgres", "maria"])
def test_a_required_server_that_is_slow(tmp_path, request, fault_proxy, kind):
    """required=True: the run ends when its view has everything, however short others would wait."""
    if kind == "mongo":
        database = request.getfixturevalue("mongo_db")
        port = request.getfixturevalue("mongo_server").port
        proxy = fault_proxy(port)
        place, replaced = proxy.address, ('db_name="runs"', f'db_name="{database.name}"')
    else:
        url = request.getfixturevalue(f"{kind}_url")
        login, _, rest = url.partition("://")[2].partition("@")
        port, _, name = rest.rpartition(":")[2].partition("/")
        proxy = fault_proxy(int(port), server_greets=kind == "maria")
        place, replaced = proxy.address, ("{place}/runs", f"{{place}}/{name}")
    proxy.delay(0.005)
    program = PROGRAM.replace(*replaced)
    if kind != "mongo":
        program = program.replace("u:pw@", f"{login}@")
    (tmp_path / "outage.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "outage.py", kind, place, "required"],
        cwd=tmp_path,
        env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "0.01"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "behind" not in done.stderr
    if kind == "mongo":
        (run,) = database.runs.find()
        assert (run["status"], run["result"]) == ("COMPLETED", 7)
    else:
        from sqlalchemy import create_engine, text

        from sacred.replayers.sinks.sql.address import driver_url

        engine = create_engine(driver_url(url))
        with engine.connect() as connection:
            rows = connection.execute(text("SELECT status, result FROM run")).all()
        engine.dispose()
        assert rows == [("COMPLETED", 7.0)]
