"""The samples whose views are not here yet: each says so. They are to run when the views are here."""

from __future__ import annotations

import json

import pytest

from samples import typed

#: Sample -> the observer that it needs.
LATER = {
    "slack": "SlackObserver",
    "sql": "SqlObserver",
    "sql_from": "SqlObserver",
    "telegram_config": "TelegramObserver",
    "tiny_db": "TinyDbObserver",
    "tiny_db_from": "TinyDbObserver",
    "tiny_db_reader": "TinyDbReader",
}


@pytest.mark.parametrize("sample", LATER)
def test_a_view_that_is_still_to_come_says_so(sample, tmp_path):
    """The import names the observer, and says that the run is kept and what brings it there."""
    done = typed.run(f"later/{sample}", tmp_path)
    assert 1 == done.returncode
    assert f"this version of sacred-journal has no {LATER[sample]} yet" in done.stderr
    assert "a later sacred-replay brings it there" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("-t", "BASEDIR"),
        ("--tiny_db=BASEDIR",),
        ("-s", "sqlite:///foo.db"),
        ("--sql=postgresql://scott:tiger@localhost/mydatabase",),
        ("-s", "mysql://scott:tiger@localhost/foo"),
    ],
    ids=" ".join,
)
def test_an_option_that_is_still_to_come_says_so(words, tmp_path):
    """The option is known, nothing runs, and no password is repeated."""
    done = typed.run("observing/hello_cs", tmp_path, *words)
    assert 1 == done.returncode
    assert "yet" in done.stderr
    assert "tiger" not in done.stderr
    assert not (tmp_path / "sacred_runs").exists()


def test_the_settings_of_a_notifier_can_be_read():
    """Slack's file of settings, with its two braces closed, is JSON, and its texts can be filled in."""
    settings = json.loads((typed.HERE / "later" / "slack.json").read_text())
    text = settings["completed_text"].format(ex_info={"name": "iris"}, result=0.9)
    assert "YAY! iris completed with result=`0.9`" == text
