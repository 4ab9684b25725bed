"""A view that can not be written: one sentence, a documented exit code, the journal untouched, others go on.

As a user meets it: on the command line of an experiment, which goes on and ends with 0, and of
``sacred-replay``, which ends with 1 (failed), 2 (not as it must be) or 3 (behind: try again).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest
from servers.mongo import free_port
from servers.web import PAGE, HttpServer, Reply

from sacred.journal import JournalRoot
from sacred.journal.verification import verify

server = pytest.mark.server

SCRIPT = textwrap.dedent(
    """
    from sacred import Experiment

    ex = Experiment("bad", save_git_info=False)

    @ex.automain
    def main(_run):
        _run.log_scalar("loss", 0.5, 0)
        return 7
    """
)
#: In front of everything else: these packages are not installed.
MISSING = "import sys\nfor name in {names}: sys.modules[name] = None\n"


class Case(NamedTuple):
    """A view that can not be written.

    Attributes
    ----------
    option, to
        As an experiment is told of it; as ``sacred-replay`` is. Empty: not there.
    code
        With which ``sacred-replay`` ends.
    says
        What is in the sentence.
    at_start
        Whether the experiment says so when it starts, too: what is asked for an id knows then. None: if
        this machine finds out in time that there is no such host.
    """

    option: tuple[str, ...]
    to: str
    code: int
    says: str
    at_start: bool | None = True


CASES = {
    "mongo: nobody listens": Case(
        ("-m", "127.0.0.1:{port}:db"), "mongodb://127.0.0.1:{port}/db", 3, "Connection refused"
    ),
    "mongo: an unknown host": Case(
        ("-m", "mongodb://nohost.invalid/db"),
        "mongodb://nohost.invalid/db",
        3,
        "does not answer",
        at_start=None,
    ),
    "mongo: a wrong password": Case(
        ("-m", "mongodb://me:s3cret@{locked}/db"),
        "mongodb://me:s3cret@{locked}/db",
        1,
        "Check user, password and authSource",
    ),
    "mongo: a misspelt option": Case(
        ("-m", "mongodb://127.0.0.1:{port}/db?tsl=true"),
        "mongodb://127.0.0.1:{port}/db?tsl=true",
        2,
        "did you mean tls?",
    ),
    "mongo: an option with a value that is none": Case(
        ("-m", "mongodb://127.0.0.1:{port}/db?tls=maybe"),
        "mongodb://127.0.0.1:{port}/db?tls=maybe",
        2,
        "has tls=maybe: write tls=true or tls=false",
    ),
    "sql: nobody listens": Case(
        ("-s", "postgresql://me:s3cret@127.0.0.1:{port}/db"),
        "postgresql://me:s3cret@127.0.0.1:{port}/db",
        3,
        "does not answer",
    ),
    "sql: an unknown host": Case(
        ("-s", "mysql://me:s3cret@nohost.invalid/db"),
        "mysql://me:s3cret@nohost.invalid/db",
        3,
        "does not answer",
        at_start=None,
    ),
    "sql: a folder that is missing": Case(
        ("-s", "sqlite:///{here}/none/x.db"),
        "sqlite:///{here}/none/x.db",
        1,
        "see that its folder is there",
    ),
    "sql: no database": Case(
        ("-s", "sqlite:///{here}/noise.db"),
        "sqlite:///{here}/noise.db",
        1,
        "is no SQLite database: name another file",
    ),
    "sql: a foreign schema": Case(
        ("-s", "sqlite:///{here}/foreign.db"),
        "sqlite:///{here}/foreign.db",
        1,
        "has a table 'run' that is not Sacred's",
    ),
    "sql: a misspelt option": Case(
        ("-s", "postgresql://127.0.0.1:{port}/db?sslmod=require"),
        "postgresql://127.0.0.1:{port}/db?sslmod=require",
        2,
        "did you mean sslmode?",
    ),
    "file: a folder that can not be": Case(
        ("-F", "/proc/views"), "file:/proc/views", 1, "Make it writable, or choose another folder"
    ),
    "tinydb: a file that was cut": Case(
        ("-t", "{here}/cut"),
        "tinydb:{here}/cut",
        1,
        "metadata.json is no TinyDB database",
        at_start=False,  # nothing is read for an id: a database may be large
    ),
    "s3: nobody listens": Case(
        ("-S", "s3://some-bucket/x"),
        "s3://some-bucket/x",
        3,
        "does not answer",
        at_start=False,  # the file view beside it gives the id
    ),
    "gcs: no credentials": Case(
        ("-G", "gs://some-bucket/x"),
        "gs://some-bucket/x",
        1,
        "let GOOGLE_APPLICATION_CREDENTIALS name a file of them",
        at_start=False,
    ),
    "webhook: a page": Case((), "webhook:{web}/hook/SECRET", 1, "answers with a web page (200)"),
    "slack: a page": Case((), "slack:{web}/hook/SECRET", 1, "answers with a web page (200)"),
    "slack: a setting that is misspelt": Case((), "slack:{here}/slack.json", 2, "'webhook_url'"),
    "a kind that is misspelt": Case((), "postgres1://h/d", 2, "Did you mean postgres"),
    "s3: a misspelt option": Case(
        (), "s3://some-bucket/x?endpoint_ur=http://h", 2, "did you mean endpoint_url?"
    ),
}


@pytest.fixture(autouse=True)
def _no_replayer_stays(replayers):
    """They would try for ten minutes to reach what is not there."""


@pytest.fixture
def places(tmp_path, locked_mongo, monkeypatch):
    """What the addresses of the cases name."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "STORAGE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no-credentials.json"))
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "30")
    (tmp_path / "noise.db").write_bytes(b"noise" * 1000)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "metadata.json").write_text('{"runs": {"1"')
    (tmp_path / "slack.json").write_text('{"webhok_url": "https://h/SECRET"}')
    with sqlite3.connect(tmp_path / "foreign.db") as other:
        other.execute("CREATE TABLE run (athlete TEXT, seconds REAL)")
    other.close()
    with HttpServer(Reply(200, PAGE)) as web:
        yield {
            "port": port,
            "locked": f"127.0.0.1:{locked_mongo.port}",
            "here": str(tmp_path),
            "web": web.url,
        }


def _run(tmp_path, *words, before=""):
    """Run a program of Python with these words."""
    program, *arguments = words
    code = before + program
    return subprocess.run(
        [sys.executable, "-c", code, *arguments]
        if before or not program.endswith(".py")
        else [sys.executable, program, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


REPLAY = "import sys; from sacred.cli import replay_main; sys.exit(replay_main())"


def _files(folder: Path):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _assert_sentence(text: str, says: str) -> None:
    """One line has it, and nothing is shown that is nobody's business."""
    assert sum(says in line for line in text.splitlines()) == 1, text
    for hidden in ("Traceback", "s3cret", "SECRET"):
        assert hidden not in text


@pytest.mark.usefixtures("patient_claims")
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.option])
def test_an_experiment_goes_on(tmp_path, places, name):
    """It says so at its start, where it can know, and at its end; the run and the other view are whole."""
    case = CASES[name]
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    option = [word.format(**places) for word in case.option]
    if option[0] == "-F":  # one of a kind: the other view is another kind's
        option += ["-t", "good"]
    else:
        option += ["-F", "good"]
    done = _run(tmp_path, "bad.py", *option)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "WARNING" in line]
    for line in lines:
        assert case.says in line, done.stderr
    started = [line for line in lines if "The run goes on: its journal has everything." in line]
    ended = [line for line in lines if "The run is safe in" in line]
    assert len(ended) == 1, done.stderr
    if case.at_start is not None:
        assert len(started) == int(case.at_start), done.stderr
    assert len(lines) == len(started) + 1
    for hidden in ("Traceback", "s3cret"):
        assert hidden not in done.stderr
    folder = JournalRoot(tmp_path / "sacred_runs").run(1)
    assert verify(folder).clean
    if option[0] == "-F":
        (run,) = json.loads((tmp_path / "good/metadata.json").read_text())["runs"].values()
    else:
        (found,) = (tmp_path / "good").glob("*/run.json")
        run = json.loads(found.read_text())
    assert (run["status"], run["result"]) == ("COMPLETED", 7)


def test_a_bucket_in_no_region(tmp_path, places, monkeypatch):
    """-S where nothing says a region: one sentence and exit code 1, before the run starts."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    done = _run(tmp_path, "bad.py", "-S", "s3://some-bucket/x")
    assert 1 == done.returncode
    _assert_sentence(done.stderr, "-S/--s3: You must either pass in an AWS region name")
    assert not (tmp_path / "sacred_runs").exists()


@pytest.mark.parametrize("name", CASES)
def test_a_replay_goes_on(tmp_path, places, name):
    """One sentence, its exit code; the journal is as it was, and the other view has the run."""
    case = CASES[name]
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    assert _run(tmp_path, "bad.py").returncode == 0
    journal = JournalRoot(tmp_path / "sacred_runs").run(1).journal
    before = _files(journal)
    to = case.to.format(**places)
    done = _run(tmp_path, REPLAY, "--to", to, "--to", "file:good")
    assert done.returncode == case.code, done.stdout + done.stderr
    _assert_sentence(done.stdout + done.stderr, case.says)
    assert _files(journal) == before
    # What is not as it must be is said before anything is written.
    assert (tmp_path / "good" / "1" / "run.json").exists() == (case.code != 2)
    if case.says.startswith("metadata"):
        assert (tmp_path / "cut" / "metadata.json").read_text() == '{"runs": {"1"'


@pytest.mark.parametrize(
    ("option", "to", "names", "says"),
    [
        (("-m", "db"), "mongodb://h/db", ("pymongo",), "pip install pymongo"),
        (
            ("-s", "sqlite:///x.db"),
            "sqlite:///x.db",
            ("sqlalchemy",),
            "pip install 'sacred-journal[sql]'",
        ),
        (
            ("-s", "postgresql://h/d"),
            "postgresql://h/d",
            ("psycopg", "psycopg2"),
            "pip install 'sacred-journal[sql]'",
        ),
        (("-t", "x"), "", ("tinydb",), "pip install"),
        ((), "parquet:x", ("duckdb",), "pip install duckdb"),
        (("-S", "s3://some-bucket/x"), "s3://some-bucket/x", ("boto3",), "pip install"),
        (
            ("-G", "gs://some-bucket/x"),
            "gs://some-bucket/x",
            ("google.cloud.storage", "google.cloud"),
            "pip install",
        ),
    ],
)
def test_a_package_that_is_not_installed(tmp_path, places, option, to, names, says):
    """The line that brings it: before the run starts, with 1; of ``sacred-replay`` with 2."""
    before = MISSING.format(names=names)
    (tmp_path / "lacks.py").write_text(before + SCRIPT, encoding="utf-8")
    if option:
        done = _run(tmp_path, "lacks.py", *option)
        assert done.returncode == 1, done.stdout + done.stderr
        assert says in done.stderr.strip().splitlines()[-1]
        assert not (tmp_path / "sacred_runs").exists()
    if to:
        (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
        assert _run(tmp_path, "bad.py").returncode == 0
        done = _run(tmp_path, REPLAY, "--to", to, "--to", "file:good", before=before)
        assert done.returncode == 2, done.stdout + done.stderr
        _assert_sentence(done.stdout + done.stderr, says)


@pytest.mark.parametrize(
    "words",
    [("query", "select 1"), ("export", "1", "--format", "parquet", "-o", "tables")],
    ids=["query", "export"],
)
def test_duckdb_is_not_installed(tmp_path, words):
    """A command that needs it: the line that brings it, with 2; no defect is told."""
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    assert _run(tmp_path, "bad.py").returncode == 0
    program = "import sys; from sacred.cli import main; sys.exit(main())"
    done = _run(tmp_path, program, *words, before=MISSING.format(names=("duckdb",)))
    assert done.returncode == 2, done.stdout + done.stderr
    _assert_sentence(
        done.stdout + done.stderr, "needs duckdb, which is not installed: pip install duckdb"
    )
    assert "report it" not in done.stderr


@pytest.mark.parametrize("ending", ["html", "html.j2"])
def test_a_template_that_raises(tmp_path, ending):
    """The run is stored and ends with 0; one line says which template, and why."""
    (tmp_path / f"mine.{ending}").write_text("${1 / 0} {{ 1 / 0 }}")
    (tmp_path / "bad.py").write_text(
        SCRIPT.replace(
            "@ex.automain",
            "from sacred.observers import FileStorageObserver\n"
            f"ex.observers.append(FileStorageObserver('runs', template='mine.{ending}'))\n"
            "@ex.automain",
        ),
        encoding="utf-8",
    )
    done = _run(tmp_path, "bad.py", "-t", "good")
    assert done.returncode == 0, done.stderr
    _assert_sentence(done.stderr, f"mine.{ending} is not rendered")
    assert "ZeroDivisionError" in done.stderr
    assert json.loads((tmp_path / "runs/1/run.json").read_text())["status"] == "COMPLETED"
    assert (tmp_path / "good" / "metadata.json").exists()


def test_a_folder_without_rights(tmp_path, one_who_may_not):
    """A folder that may only be read: said at the start and at the end, and by a replay with 1."""
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    done = one_who_may_not("bad.py", "-F", "locked/view")
    assert done.returncode == 0, done.stderr
    assert sum("Permission denied" in line for line in done.stderr.splitlines()) == 2
    done = one_who_may_not(REPLAY, "--to", "file:locked/view")
    assert done.returncode == 1, done.stdout + done.stderr
    _assert_sentence(done.stdout + done.stderr, "Make it writable, or choose another folder")


@pytest.fixture
def one_who_may_not(tmp_path):
    """Run a program as somebody who may not write everywhere, which root may."""
    before = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may write everywhere")
        before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]

    def run(program, *arguments):
        command = [sys.executable]
        command += [program] if program.endswith(".py") else ["-c", program]
        return subprocess.run(
            [*before, *command, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return run


@server
def test_buckets(tmp_path, gcs_place, s3_server, s3_place, monkeypatch):
    """GCS: a bucket that is missing is said with the command that makes it. S3: it is made."""
    (tmp_path / "bad.py").write_text(SCRIPT, encoding="utf-8")
    done = _run(tmp_path, "bad.py", "-G", f"gs://{gcs_place}-none/x")
    assert done.returncode == 0, done.stderr
    assert (
        len(re.findall(r"there is no bucket \S+: make it first, gcloud storage", done.stderr)) == 2
    )
    done = _run(tmp_path, REPLAY, "--to", f"gs://{gcs_place}-none/x")
    assert done.returncode == 1
    _assert_sentence(done.stdout + done.stderr, "make it first, gcloud storage buckets create")
    done = _run(tmp_path, REPLAY, "--to", f"s3://{s3_place}-new/x")
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrongs3cret")
    done = _run(tmp_path, REPLAY, "--to", f"s3://{s3_place}-new/x", "--to", "file:other")
    assert done.returncode == 1, done.stdout + done.stderr
    _assert_sentence(done.stdout + done.stderr, "refuses the keys")
    assert (tmp_path / "other" / "1" / "run.json").exists()
