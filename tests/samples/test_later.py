"""The samples whose views are not here yet: each says so. They are to run when the views are here."""

from __future__ import annotations

import json

import pytest

from samples import typed

#: Sample -> the observer that it needs.
LATER = {}


@pytest.mark.parametrize("sample", LATER)
def test_a_view_that_is_still_to_come_says_so(sample, tmp_path):
    """The import names the observer, and says that the run is kept and what brings it there."""
    done = typed.run(f"later/{sample}", tmp_path)
    assert 1 == done.returncode
    assert f"this version of sacred-journal has no {LATER[sample]} yet" in done.stderr
    assert "a later sacred-replay brings it there" in done.stderr


@pytest.mark.parametrize(
    "words",
    [],
    ids=" ".join,
)
def test_an_option_that_is_still_to_come_says_so(words, tmp_path):
    """The option is known, and nothing runs."""
    done = typed.run("observing/hello_cs", tmp_path, *words)
    assert 1 == done.returncode
    assert "yet" in done.stderr
    assert not (tmp_path / "sacred_runs").exists()


@pytest.mark.parametrize("sample", ["slack", "telegram_config"])
def test_a_notifier_is_made_of_its_settings(sample, tmp_path):
    """Slack's file of settings, with its two braces closed, is one, and so is Telegram's."""
    settings = (typed.HERE / "later" / "slack.json").read_text()
    (tmp_path / "slack.json").write_text(settings)
    (tmp_path / "telegram.json").write_text(json.dumps({"token": "1:a", "chat_id": 5}))
    done = typed.run(f"later/{sample}", tmp_path)
    assert 0 == done.returncode, done.stderr
