"""The samples of messages: their settings are read."""

from __future__ import annotations

import json

import pytest

from samples import typed


@pytest.mark.parametrize("sample", ["slack", "telegram_config"])
def test_a_notifier_is_made_of_its_settings(sample, tmp_path):
    """Slack's file of settings, with its two braces closed, is one, and so is Telegram's."""
    settings = (typed.HERE / "later" / "slack.json").read_text()
    (tmp_path / "slack.json").write_text(settings)
    (tmp_path / "telegram.json").write_text(json.dumps({"token": "1:a", "chat_id": 5}))
    done = typed.run(f"later/{sample}", tmp_path)
    assert 0 == done.returncode, done.stderr
