"""A training process pays for its journal alone, whatever views it declares."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from servers.mongo import free_port

import sacred.observers
from sacred.core.view_options import OBSERVERS, VIEW_OPTIONS

#: What only a replayer loads, and what reports and proxies need.
DRIVERS = frozenset(
    "boto3 botocore bson duckdb gridfs jinja2 mako MySQLdb psycopg psycopg2 pyarrow pymongo "
    "pymysql requests slack_sdk socks sqlalchemy telegram tinydb urllib3 watchdog".split()
)

#: The packages that Google's share hold nothing: looking for one of them loads those.
GOOGLES = frozenset({"google.api_core", "google.auth", "google.cloud.storage"})

#: How each class of observer is made. One that is not named here is tried with a folder.
MADE = {
    "FileStorageObserver": "('files', template=True)",
    "GoogleCloudStorageObserver": "('some-bucket', 'base')",
    "MongoObserver": "('mongodb://me:pw@127.0.0.1:{port}/db?tls=false', ssl=False)",
    "QueueObserver": "(sacred.observers.MongoObserver('127.0.0.1:{port}'))",
    "QueuedMongoObserver": "(url='127.0.0.1:{port}')",
    "S3Observer": "('some-bucket', 'base', region='r')",
    "SlackObserver": "('http://127.0.0.1:{port}/hook')",
    "SqlObserver": "('postgresql://me:pw@127.0.0.1:{port}/db')",
    "TelegramObserver": "('1:token', 5, api_url='http://127.0.0.1:{port}')",
    "TinyDbObserver": "('tiny')",
}
#: What is no view: a base, a reader.
OTHERS = {"RunObserver", "TinyDbReader"}
#: The values of the options of the command line; one that is not named here gets a folder.
VALUES = {
    "--gcs": "gs://some-bucket/base",
    "--mongo_db": "mongodb://me:pw@127.0.0.1:{port}/db",
    "--s3": "s3://some-bucket/base",
    "--sql": "mysql://me:pw@127.0.0.1:{port}/db",
}

SCRIPT = textwrap.dedent(
    """
    import sys
    import sacred.observers
    from sacred import Experiment

    ex = Experiment("pays", save_git_info=False)
    {append}

    @ex.main
    def main(_run):
        _run.log_scalar("loss", 0.5)
        print("views", sum(hasattr(one, "declare_view") and one.declare_view() is not None
                           for one in _run.observers))
        print("inside", *sys.modules)

    ex.run_commandline()
    print("after", *sys.modules)
    """
)


@pytest.fixture(autouse=True)
def _alone(replayers, monkeypatch):
    """No replayer stays, and nobody waits for servers that are not there."""
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "0.1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "r")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")


def _assert_no_driver(tmp_path, append: str, *words: str) -> None:
    script = tmp_path / "pays.py"
    script.write_text(SCRIPT.format(append=append), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    said = {line.partition(" ")[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert said["views"] == ["1"]
    for when in ("inside", "after"):
        loaded = {name.partition(".")[0] for name in said[when]}
        assert (loaded & DRIVERS) | (GOOGLES & set(said[when])) == set(), when
        assert "sacred.replayers.follower" not in said[when]


@pytest.mark.parametrize("name", sorted(set(sacred.observers.__all__) - OTHERS))
def test_an_observer_loads_no_driver(tmp_path, name):
    """B1-B3: not where it is made, not while the run goes on, not when it has ended."""
    made = MADE.get(name, "('some-folder')").format(port=free_port())
    _assert_no_driver(tmp_path, f"ex.observers.append(sacred.observers.{name}{made})")


@pytest.mark.parametrize("option", [one.long_flag for one in VIEW_OPTIONS])
def test_an_option_loads_no_driver(tmp_path, option):
    """B1-B3: the same for what is attached on the command line."""
    _assert_no_driver(
        tmp_path, "", option, VALUES.get(option, "some-folder").format(port=free_port())
    )


def test_every_kind_has_an_option():
    """A kind of view that the command line knows is among those above."""
    assert len(VIEW_OPTIONS) == len(OBSERVERS)
