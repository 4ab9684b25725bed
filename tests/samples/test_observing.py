"""The samples of Sacred's page about observers."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
import sqlite3
import subprocess
import sys
import time

import pytest

from sacred.core.view_options import parse_mongo_db_arg
from samples import typed

SHOW = "\nimport json\nprint(json.dumps(ex.observers[0].declare_view()))\n"


def _declared(sample, folder):
    path = typed.program(sample, folder)
    path.write_text(path.read_text() + SHOW)
    declared = json.loads(typed.printed(sample, folder))
    return declared["url"], declared["options"]["db_name"], declared["options"]["client"]


def eventually(holds, seconds=60.0):
    """Wait until something holds, as long as that may take."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "url", "name"),
    [
        ("MY_DB", None, "MY_DB"),
        ("192.168.1.1:27017:MY_DB", "192.168.1.1:27017", "MY_DB"),
        ("my.server.org:12345:MY_DB", "my.server.org:12345", "MY_DB"),
    ],
)
def test_a_database_on_the_command_line(words, url, name):
    """MongoDB: ``-m`` takes a database, or a host, a port and a database."""
    parsed = parse_mongo_db_arg(words)
    assert (url, name) == (parsed.get("url"), parsed["db_name"])


@pytest.mark.parametrize(
    ("sample", "url", "name", "client"),
    [
        ("mongo", "mongodb://localhost:27017", "sacred", {}),
        ("mongo_server", "mongodb://my.server.org:27017", "MY_DB", {}),
        (
            "mongo_password",
            "mongodb://user:password@example.com/the_database?authMechanism=SCRAM-SHA-1",
            "MY_DB",
            {},
        ),
        (
            "mongo_certificate",
            "mongodb://<X.509 derived username>@example.com/?authMechanism=MONGODB-X509",
            "MY_DB",
            {
                "tls": True,
                "tlsCertificateKeyFile": "/path/to/client.pem",
                "tlsAllowInvalidCertificates": False,
                "tlsCAFile": "/path/to/ca.pem",
            },
        ),
        ("queued_mongo", "mongodb://my.server.org:27017", "MY_DB", {}),
    ],
)
def test_a_database_in_the_program(sample, url, name, client, tmp_path):
    """MongoDB: each way to name a server, a user, a certificate; the old names of its options are understood."""
    assert (url, name, client) == _declared(f"observing/{sample}", tmp_path)


@pytest.mark.server
@pytest.mark.parametrize("sample", ["mongo_server", "queued_mongo"])
@pytest.mark.usefixtures("patient_claims")
def test_what_the_database_has(sample, tmp_path, mongo_server, mongo_db):
    """MongoDB: the entry of a run and that of its source have the fields that the page shows, of these types."""
    path = typed.program(f"observing/{sample}", tmp_path)
    place = mongo_server.url.removeprefix("mongodb://").rstrip("/")
    text = path.read_text().replace("my.server.org:27017", place).replace("MY_DB", mongo_db.name)
    path.write_text(text + "\nex.run()\n")
    assert "Hello world!\n" == typed.printed(f"observing/{sample}", tmp_path)
    (run,) = mongo_db["runs"].find()
    assert 1 == run["_id"]
    assert ("MongoObserver-0.7.0", "COMPLETED", None) == (
        run["format"],
        run["status"],
        run["result"],
    )
    for name in ("start_time", "heartbeat", "stop_time"):
        assert isinstance(run[name], dt.datetime), name
    assert {"message", "recipient", "seed"} == set(run["config"])
    assert ({}, [], []) == (run["info"], run["resources"], run["artifacts"])
    assert "Hello world!\n" in run["captured_out"]
    assert {"name", "base_dir", "dependencies", "sources", "repositories"} <= set(run["experiment"])
    assert {"os", "cpu", "hostname", "python_version"} <= set(run["host"])
    ((name, source_id),) = run["experiment"]["sources"]
    stored = mongo_db["fs.files"].find_one({"_id": source_id})
    assert "hello_cs.py" == name
    assert stored["filename"].endswith("/hello_cs.py")
    assert {"md5", "chunkSize", "length", "uploadDate"} <= set(stored)


@pytest.mark.server
def test_what_the_bucket_has(tmp_path, s3_server, s3_place, monkeypatch):
    """S3: the objects of a run have the names that the page says, below the path as it is given."""
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "120")
    path = typed.program("observing/s3", tmp_path)
    text = path.read_text().replace("my-awesome-bucket", s3_place)
    path.write_text(text + "\n@ex.automain\ndef main():\n    print('Hello world!')\n")
    assert "Hello world!\n" == typed.printed("observing/s3", tmp_path)
    client = s3_server.client()

    def names():
        found = client.list_objects_v2(Bucket=s3_place)["Contents"]
        return {one["Key"].partition("my-cool-experiment/")[2] for one in found}

    # On a busy machine the store misses the start of the run, which then waits for it nowhere.
    wanted = {"1/run.json", "1/config.json", "1/cout.txt", "1/metrics.json"}
    eventually(lambda: wanted <= names())
    assert any(name.startswith("_sources/s3_") for name in names())


@pytest.mark.server
def test_what_the_other_bucket_has(tmp_path, gcs_server, gcs_place, monkeypatch):
    """Google Cloud Storage: the objects of a run lie below the path."""
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "120")
    path = typed.program("observing/gcs", tmp_path)
    text = path.read_text().replace("bucket-name", gcs_place)
    path.write_text(text + "\n@ex.automain\ndef main():\n    print('Hello world!')\n")
    assert "Hello world!\n" == typed.printed("observing/gcs", tmp_path)

    def names():
        found = gcs_server.objects(gcs_place, "")
        return {name.partition("experiment-name/")[2] for name in found}

    wanted = {"1/run.json", "1/config.json", "1/cout.txt", "1/metrics.json"}
    eventually(lambda: wanted <= names())


@pytest.mark.parametrize("words", [("-F", "BASEDIR"), ("--file_storage=BASEDIR",)])
def test_files_from_the_command_line(words, tmp_path):
    """Files: both spellings of the option."""
    typed.printed("observing/hello_cs", tmp_path, *words)
    assert (tmp_path / "BASEDIR" / "1" / "run.json").exists()


@pytest.mark.parametrize("words", [("-s", "sqlite:///foo.db"), ("--sql=sqlite:///foo.db",)])
@pytest.mark.usefixtures("patient_claims")
def test_an_sql_database_on_the_command_line(words, tmp_path):
    """SQL: both spellings of the option."""
    typed.printed("observing/hello_cs", tmp_path, *words)
    with contextlib.closing(sqlite3.connect(tmp_path / "foo.db")) as database:
        assert [("1", "COMPLETED")] == database.execute("SELECT run_id, status FROM run").fetchall()


def test_an_sql_database_in_the_program(tmp_path):
    """SQL: the observer is among the experiment's, and nothing is made before a run."""
    assert "" == typed.printed("observing/sql", tmp_path)
    assert not (tmp_path / "foo.db").exists()


def test_an_sql_observer_from_what_one_has(tmp_path):
    """SQL: an engine and a session are taken as they are, with nothing done to them."""
    assert "" == typed.printed("observing/sql_from", tmp_path)


def test_what_the_folder_has(tmp_path):
    """Files: the files of a run, and the fields of ``run.json``, that the page shows."""
    assert "Hello world!\n" == typed.printed("observing/files", tmp_path)
    folder = tmp_path / "my_runs" / "1"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert {"config.json", "cout.txt", "metrics.json", "run.json"} == names
    run = json.loads((folder / "run.json").read_text())
    shown = "command status start_time heartbeat stop_time result experiment host artifacts"
    assert {*shown.split(), "resources", "meta"} <= set(run)
    assert ("main", "COMPLETED", None) == (run["command"], run["status"], run["result"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", run["start_time"])
    ((name, stored),) = run["experiment"]["sources"]
    assert "hello_cs.py" == name
    assert re.fullmatch(r"_sources/hello_cs_[0-9a-f]{32}\.py", stored)
    assert (tmp_path / "my_runs" / stored).exists()
    assert "Hello world!" == json.loads((folder / "config.json").read_text())["message"]
    assert "Hello world!\n" in (folder / "cout.txt").read_text()


def test_a_report_from_a_template(tmp_path):
    """Files: a template named by its path makes a report with the template's ending."""
    pytest.importorskip("mako")
    typed.printed("observing/template", tmp_path)
    report = (tmp_path / "my_runs" / "1" / "report.txt").read_text()
    assert report.startswith("COMPLETED: Hello world!\n")


def test_a_queue_in_front_of_an_observer(tmp_path):
    """Queue: an observer behind a queue writes the same."""
    typed.printed("observing/queued", tmp_path)
    run = json.loads((tmp_path / "my_runs" / "1" / "run.json").read_text())
    assert "COMPLETED" == run["status"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (),
            "started watched main 42 None\nresource my_observer.py\nartifact me.py\ncompleted 42 ({'loss': 0.5}, 42)\n",
        ),
        (("fail",), "started watched fail 42 None\nfailed ValueError: on purpose\n"),
        (("stop",), "started watched stop 42 None\ninterrupted INTERRUPTED\n"),
        (("-q",), "queued main\n"),
    ],
    ids=["main", "fail", "stop", "queue"],
)
def test_an_observer_of_ones_own(words, said, tmp_path):
    """Custom observer: imported from the path that the page names, with the shorter signatures it shows (EVT-01, USE-15)."""
    assert said == typed.run("observing/my_observer", tmp_path, *words).stdout


def test_custom_information(tmp_path):
    """Info: what a run puts there is kept; arrays as lists that can be read."""
    pytest.importorskip("numpy")
    typed.printed("observing/info", tmp_path)
    info = json.loads((tmp_path / "my_runs" / "1" / "info.json").read_text())
    assert {"losses": [0.5, 0.25], "weights": [[1, 0], [0, 1]], "parameters": 4} == info


def test_the_observer_of_another_package(tmp_path):
    """Neptune: an observer that another package brings is told of the run."""
    assert (
        "USER_NAME/PROJECT_NAME has hello_cs Hello world!\nHello world!\nUSER_NAME/PROJECT_NAME is done\n"
        == typed.printed("observing/neptune", tmp_path)
    )


def test_the_observer_of_another_package_told_later(tmp_path):
    """Neptune: the run of a program that knows nothing of it is told from its journal."""
    typed.printed("observing/hello_cs", tmp_path)
    address = "neptunecontrib.monitoring.sacred:NeptuneObserver?api_token=T&project_name=LAB/IRIS"
    done = subprocess.run(
        [sys.executable, "-m", "sacred", "replay", "--root", "../sacred_runs", "--to", address],
        cwd=tmp_path / "observing",
        capture_output=True,
        text=True,
        timeout=typed.SECONDS,
        check=True,
    )
    assert done.stdout.startswith("LAB/IRIS has hello_cs Hello world!\nLAB/IRIS is done\n")


def _runs(path):
    return list(json.loads(path.read_text())["runs"].values())


@pytest.mark.parametrize("words", [("-t", "BASEDIR"), ("--tiny_db=BASEDIR",)], ids=" ".join)
def test_a_tiny_db_from_the_command_line(words, tmp_path):
    """CLI-10, TDB-02: a document with a source that lies under its checksum."""
    typed.printed("observing/hello_cs", tmp_path, *words)
    (run,) = _runs(tmp_path / "BASEDIR" / "metadata.json")
    assert ("COMPLETED", "hello_cs") == (run["status"], run["experiment"]["name"])
    ((name, md5, tag),) = run["experiment"]["sources"]
    assert ("hello_cs.py", f'{{TinyFile}}:"{md5}"') == (name, tag)
    assert (tmp_path / "BASEDIR" / "hashfs" / md5[:2] / md5[2:4] / md5[4:6] / md5[6:]).is_file()


def test_a_tiny_db_in_the_program(tmp_path):
    """TDB-01: the view is declared; the folder is made with it."""
    typed.printed("observing/tiny_db", tmp_path)
    assert ["metadata.json"] == sorted(one.name for one in (tmp_path / "my_runs").iterdir())


def test_a_tiny_db_of_ones_own(tmp_path):
    """OBS-06: from a TinyDB and a HashFS."""
    typed.printed("observing/tiny_db_from", tmp_path)
    assert (tmp_path / "metadata.json").exists()


def test_the_reader_of_a_tiny_db(tmp_path):
    """TDB-04: the report of the newest run."""
    program = typed.program("observing/hello_cs", tmp_path).with_name("test_exp.py")
    program.write_text((typed.HERE / "observing" / "hello_cs.py").read_text())
    typed.printed("observing/test_exp", tmp_path, "-t", "my_runs", "with", "recipient=you")
    text = typed.printed("observing/tiny_db_reader", tmp_path)
    assert re.fullmatch(
        r"\n-{49}\nExperiment: hello_cs\n-{49}\nID: [0-9a-f]{32}\n"
        r"Date: \w{3} \d\d \w{3} \d{4}    Duration: \d\d:\d\d:\d\d\.\d\n\n"
        r"Parameters:\n    message: Hello you!\n    recipient: you\n    seed: \d+\n\n"
        r"Result:\n    None\n\nDependencies:\n(    \S+\n)+\nResources:\n    None\n\n"
        r"Source Files:\n    test_exp\.py\n\nOutputs:\n    None\n\n",
        text,
    ), text


@pytest.mark.parametrize("sample", ["slack", "telegram_config"])
def test_a_notifier_is_made_of_its_settings(sample, tmp_path):
    """Slack's file of settings, with its two braces closed, is one, and so is Telegram's."""
    settings = (typed.HERE / "observing" / "slack.json").read_text()
    (tmp_path / "slack.json").write_text(settings)
    (tmp_path / "telegram.json").write_text(json.dumps({"token": "1:a", "chat_id": 5}))
    done = typed.run(f"observing/{sample}", tmp_path)
    assert 0 == done.returncode, done.stderr
