"""Passwords in what a run records and prints."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sacred.core import stored_program
from sacred.core.passwords import is_masked, is_secret_name, mask_password, masked_within
from sacred.core.settings import SETTINGS
from sacred.journal import BlobStore, EventType, JournalReader, JournalRoot


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mongodb://me:pw@host/db", "mongodb://me:***@host/db"),
        ("mongodb://me:p@w@host/db", "mongodb://me:***@host/db"),
        ("mongodb://me:p/w@host/db", "mongodb://me:***@host/db"),
        ("redis://:pw@host/0", "redis://:***@host/0"),
        ("a http://u:p@h/x, b ftp://u:q@h", "a http://u:***@h/x, b ftp://u:***@h"),
        ("https://ghp_0123456789abcdef@github.com/me/x", "https://***@github.com/me/x"),
        ("https://ghp_0123456789abcdef:x@github.com/me/x", "https://***:***@github.com/me/x"),
        ("http://h/?access_token=pw&n=1", "http://h/?access_token=***&n=1"),
        ("postgresql://h/db?sslpassword=pw", "postgresql://h/db?sslpassword=***"),
        ("https://b/x?X-Amz-Signature=pw&X-Amz-Expires=9", "https://b/x?X-Amz-Signature=***&X-Amz-Expires=9"),
        ("https://app/cb#access_token=pw&n=1", "https://app/cb#access_token=***&n=1"),
        ("mongodb://me:my own pw@host/db", "mongodb://me:***@host/db"),
        ("http://h/?password=my own pw&n=1", "http://h/?password=***&n=1"),
        ("me:pw@host:27017", "me:***@host:27017"),
        ("me:pw@db.example.com:5432/x?ssl=1", "me:***@db.example.com:5432/x?ssl=1"),
        (":pw@localhost", ":***@localhost"),
        ("me:pw@10.0.0.1/db", "me:***@10.0.0.1/db"),
        ("db=me:pw@host:6379", "db=me:***@host:6379"),
        ("Server=h;Uid=me;Pwd=my own pw;", "Server=h;Uid=me;Pwd=***;"),
        ("Driver={A;B};User ID=me;Password={p;w};x=1", "Driver={A;B};User ID=me;Password=***;x=1"),
        ("AccountName=a;AccountKey=pw==;x=http://u:pw@h", "AccountName=a;AccountKey=***;x=http://u:***@h"),
        ("https://hooks.slack.com/services/T/B/pw", "https://hooks.slack.com/services/***"),
        ("https://api.telegram.org/bot1:pw/send", "https://api.telegram.org/bot***"),
        ("https://discord.com/api/webhooks/1/pw", "https://discord.com/api/webhooks/***"),
    ],
)  # fmt: skip
def test_secrets_of_addresses_are_masked(text, shown):
    """What is secret in an address becomes ***, the rest stays; a second time changes nothing."""
    assert shown == mask_password(text)
    assert shown == mask_password(shown)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "me@example.org: x",
        "http://host:8080/path@v1",
        "http://host:8080?at=a@b",
        "mongodb://a:27017,b:27017/db?x=a@b",
        "http://[::1]:8080/x@y",
        "git@host:me/x.git",
        "ssh://git@host/x",
        "https://me@bitbucket.org/x",
        "http://h/?tokenizer=bert&author=me&monkey=1",
        "see http://x.y:1 foo@bar",
        "http://x.y:1 foo@bar",
        "http://h/#section=key",
        # without a scheme: only what is a whole address, and of a host that has a port or is plain
        "12:30@room:101",
        "python:3.11@sha256:0123456789abcdef",
        "registry:5000/image@sha256:0123456789",
        "resnet:v2@model.yaml",
        "write to me:pw@host:27017 today",
        "git@github.com:me/x.git",
        # no list of pairs, or without a password
        "a=1;b=2",
        "password=5",
        "set password=5; then go",
        "x; pwd=1",
        "author=me;tokenizer=bert",
    ],
)
def test_what_is_no_secret_stays(text):
    """Ports, names of users and ordinary parameters are no passwords."""
    assert text == mask_password(text)


@pytest.mark.parametrize(
    "text",
    [
        "a://b:" + "c" * 500 + " ",
        "a:b" * 600,
        "a" * 2000 + "@",
        "a=" * 900 + ":@",
        "x://y?" + "key" * 600,
        "a=1;" * 500 + "{",
        "pwd={" * 400 + ";",
    ],
)
def test_texts_that_look_like_an_address(text):
    """A text that is nearly an address is given up soon, and stays."""
    assert text == mask_password(text)


@pytest.mark.parametrize("text", ["://a:" * 20_000, "://" + "?a" * 20_000, "http://a:b/" * 20_000])
def test_long_texts_take_no_longer_than_they_are(text):
    """A text made to be slow is looked through a bounded number of times (else: for minutes)."""
    assert text == mask_password(text)


def test_values_are_looked_into():
    """Texts at any depth are masked; what has none is the same object, not a copy."""
    clean = {"a": [1, (2.0, "x")], "b": None}
    assert clean is masked_within(clean)
    value = {"a": [("http://u:pw@h", 1)], "b": clean}
    found = masked_within(value)
    assert {"a": [("http://u:***@h", 1)], "b": clean} == found
    assert clean is found["b"]
    assert "pw" in repr(value)


def test_keys_and_bytes_are_looked_into():
    """Keys of dictionaries too, of which none gets lost; and bytes, if they are text."""
    found = masked_within({"http://u:p@h": 1, "http://u:q@h": {"http://u:p@x": b"http://u:p@h"}})
    expected = {"http://u:***@h": 1, "http://u:***@h (2)": {"http://u:***@x": b"http://u:***@h"}}
    assert expected == found
    assert list(expected) == list(found)
    data = b"\xff\x00http://u:p@h"
    assert data is masked_within(data)


def test_what_is_recorded_tells_that_a_secret_is_missing():
    """A recorded text says whether it lacks a secret, with or without a scheme."""
    lacking = ("http://u:***@h", "u:***@h:80", "a=1;Pwd=***")
    assert [True] * 3 == [is_masked(text) for text in lacking]
    assert [False] * 2 == [is_masked(text) for text in ("***", "http://u@h")]


def test_a_stored_program_is_told_which_word_lacks_its_secret(capsys):
    """Its command line is as it was where the option is given again; else a line names the word."""
    words = ["train.py", "-m", "mongodb://u:***@h/x", "--db", "u:***@h:80", "with", "a=1"]
    record = SimpleNamespace(program={"argv": words})
    given = ["-m", "mongodb://u:pw@h/x"]
    expected = ["-m", "mongodb://u:pw@h/x", "--db", "u:***@h:80", "with", "a=1"]
    assert expected == stored_program._recorded_words(record, given)
    (line,) = capsys.readouterr().err.splitlines()
    assert '"u:***@h:80" stands in its command line without the secret' in line


def test_a_configuration_and_a_result_with_secrets_in_keys(tmp_path):
    """What a run records of them shows no secret; what the program works with does."""
    (tmp_path / "script.py").write_text(
        "from sacred import Experiment, SETTINGS\n"
        "SETTINGS.CONFIG.ENFORCE_KEYS_MONGO_COMPATIBLE = False\n"
        "ex = Experiment('keys')\n"
        "ex.add_config({'hosts': {'http://u:pw@h.x': b'me:pw@host:80'}})\n"
        "@ex.main\n"
        "def main(hosts, _run):\n"
        "    assert 'http://u:pw@h.x' in hosts\n"
        "    _run.info['by'] = {'redis://:pw@h': 1}\n"
        "    return {'http://u:pw@h': b'http://u:pw@h'}\n"
        "ex.run(options={'--comment': 'me:pw@host:80'})\n"
    )
    subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    root = JournalRoot(tmp_path / "sacred_runs")
    text = repr([event.fields for event in JournalReader(root.run(1).journal).read()])
    assert "pw" not in text
    assert 4 <= text.count("u:***@h") + text.count("me:***@host:80")


def test_values_that_can_not_be_looked_into():
    """A value in itself ends, and one whose class raises stays as it is."""
    loop = ["http://u:pw@h"]
    loop.append(loop)
    assert "http://u:***@h" == masked_within(loop)[0]

    class Odd(dict):
        def items(self):
            raise ZeroDivisionError

    odd = Odd(a="http://u:pw@h")
    assert odd is masked_within(odd)
    deep = "http://u:pw@h"
    for _ in range(5000):
        deep = [deep]
    assert deep is masked_within(deep)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("WANDB_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("AWS_ACCESS_KEY_ID", True),
        ("GITHUB_TOKEN", True),
        ("MY_TOKEN_FILE", True),
        ("PGPASSWORD", True),
        ("mysql_pwd", True),
        ("SLURM_JWT", True),
        ("JWT", True),
        ("GH_PAT", True),
        ("DB_PASS", True),
        ("COOKIE", True),
        ("SESSION_COOKIE_FILE", True),
        ("PRIVATE", True),
        ("SSH_PRIVATE_FILE", True),
        ("PATH", False),
        ("COMPASS", False),
        ("GOOGLE_APPLICATION_CREDENTIALS", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("KEYBOARD", False),
        ("PWD", False),
        ("OLDPWD", False),
        ("SLURM_JOB_ID", False),
        ("CUDA_VISIBLE_DEVICES", False),
    ],
)
def test_names_of_secrets(name, secret):
    """HST-01: the patterns of SETTINGS.HOST_INFO.SECRET_ENV catch the usual names."""
    assert secret == is_secret_name(name, SETTINGS.HOST_INFO.SECRET_ENV)


_SCRIPT = '''
"""Reads from http://me:pw1@host/doc."""
import warnings
from sacred import Experiment, SETTINGS
from sacred.observers import FileStorageObserver, MongoObserver

SETTINGS.HOST_INFO.CAPTURED_ENV = ["THE_*"]
ex = Experiment("secrets")
ex.observers.append(FileStorageObserver("view"))
ex.add_config({"url": "mongodb://me:pw2@host/db", "n": 1})

@ex.config
def more():
    other = "x"  # as http://me:pw3@host

@ex.main
def main(_run, fail, url):
    assert url.endswith("pw2@host/db")
    _run.info["source"] = {"list": ["http://me:pw4@host"]}
    _run.result = "http://me:pw5@host"
    if fail:
        raise ValueError("no answer from http://me:pw6@host")
    return {"at": "http://me:pw7@host"}

ex.add_config(fail=False)
ex.run_commandline()
'''


def test_nothing_that_is_recorded_shows_a_password(tmp_path):
    """No event, no view and no line of ours has a password: config, command line, info, traces."""
    (tmp_path / "script.py").write_text(_SCRIPT)
    command = [sys.executable, "script.py", "-c", "for http://me:pw8@host", "-p", "-C", "sys"]
    printed = []
    environment = {
        **os.environ,
        "THE_URL": "http://me:pw9@host",
        "THE_TOKEN": "pw9",
        "THE_NUMBER": "1",
        "NOT_THE_URL": "pw9",
    }
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for words in (
        ["init", "-q"],
        ["remote", "add", "origin", "https://me:pw9@host/x.git"],
        ["add", "script.py"],
        ["commit", "-qm", "first"],
    ):
        subprocess.run([*git, *words], check=True, timeout=100)
    for updates in (["with", "other=http://me:pw9@host"], ["with", "fail=True"]):
        done = subprocess.run(
            [*command, *updates],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        printed.append(done.stdout + done.stderr)
        assert int("fail=True" in updates) == done.returncode
    assert "pw" not in "".join(printed)
    assert "url = 'mongodb://me:***@host/db'" in printed[0]
    assert "Result: {'at': 'http://me:***@host'}" in printed[0]
    assert "ValueError: no answer from http://me:***@host" in printed[1]
    root = JournalRoot(tmp_path / "sacred_runs")
    for run in root.runs():
        events = list(JournalReader(run.journal).read())
        assert "pw" not in repr([event.fields for event in events])
        assert any("http://me:***@host" in repr(event.fields) for event in events)
    for number in ("1", "2"):
        for file in (tmp_path / "view" / number).glob("*.*"):
            assert file.is_dir() or "pw" not in file.read_text()
    (started,) = [e.fields for e in events if e.type == EventType.RUN_STARTED]
    assert {"THE_NUMBER": "1", "THE_TOKEN": "***", "THE_URL": "http://me:***@host"} == (
        started["host"]["ENV"]
    )


def test_what_a_program_prints_and_its_files_are_its_own(tmp_path):
    """Output, and the content of sources and artifacts, are recorded to the byte."""
    (tmp_path / "script.py").write_text(
        "from sacred import Experiment\n"
        "ex = Experiment('own')\n"
        "@ex.main\n"
        "def main(_run):\n"
        "    print('at http://me:pw@host')\n"
        "    _run.add_artifact(__file__)\n"
        "ex.run()\n"
    )
    subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    root = JournalRoot(tmp_path / "sacred_runs")
    events = list(JournalReader(root.run(1).journal).read())
    output = b"".join(e.fields["data"] for e in events if e.type == EventType.OUTPUT)
    assert b"at http://me:pw@host\n" in output
    for kind in (EventType.SOURCE_ADDED, EventType.ARTIFACT_ADDED):
        (stored,) = [e.fields["blob"]["digest"] for e in events if e.type == kind]
        assert (tmp_path / "script.py").read_bytes() == BlobStore(root.blobs).read(stored)


def test_an_error_about_the_configuration_shows_no_password():
    """CFG-11, SCO-13: the conflicting values of an error are masked, whoever prints it."""
    from sacred import Experiment

    ex = Experiment("typo", save_git_info=False)
    ex.main(lambda: None)
    with pytest.raises(Exception, match=r"ulr=http://me:\*\*\*@host"):
        ex.run("<lambda>", config_updates={"ulr": "http://me:pw@host"})
