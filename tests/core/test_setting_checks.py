# ruff: noqa: F841 - the local variables of a scope are its entries
"""Settings that no run can use are told before it begins."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import sacred
from sacred import Experiment
from sacred.core import dependencies
from sacred.core.settings import SETTINGS, SettingError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _experiment() -> Experiment:
    ex = Experiment("settings", save_git_info=False)

    @ex.config
    def config() -> None:
        seed = 1  # a comment

    @ex.main
    def main() -> None:
        raise AssertionError("the run began")

    return ex


@pytest.mark.parametrize(
    ("group", "name", "value", "kind", "said"),
    [
        (None, "DISCOVER_SOURCES", "import", KeyError, "'none', 'imported', 'sys', 'dir'"),
        (None, "DISCOVER_SOURCES", None, KeyError, "'none', 'imported', 'sys', 'dir'"),
        (None, "DISCOVER_DEPENDENCIES", "import", KeyError, "'none', 'imported', 'sys', 'pkg'"),
        (None, "CAPTURE_MODE", "all", KeyError, "'no', 'sys', 'fd'"),
        ("COMMAND_LINE", "COLOR", "blue", KeyError, "'auto', 'always', 'never'"),
        ("COMMAND_LINE", "COLOR", None, KeyError, "is None. Set it to one of 'auto'"),
        (None, "DEFAULT_BEAT_INTERVAL", "x", TypeError, "must be a number of seconds, not 'x'"),
        ("HOST_INFO", "CAPTURED_ENV", 3, SettingError, "must be a list of texts, not 3"),
    ],
)
def test_a_setting_that_can_not_be_used(
    group: str | None,
    name: str,
    value: Any,
    kind: type[Exception],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SET-01, SRC-01, SRC-03, OUT-01, HST-01: refused before the run begins, with what it can be; a part of the run would be missing, else."""
    monkeypatch.setitem(SETTINGS[group] if group else SETTINGS, name, value)
    for begin in (_experiment().run, lambda: sacred.start_run("settings")):
        with pytest.raises(SettingError) as caught:
            begin()
        assert isinstance(caught.value, kind)
        place = f"SETTINGS.{group}.{name}" if group else f"SETTINGS.{name}"
        assert str(caught.value).startswith(place)
        assert said in str(caught.value)
    assert [] == os.listdir()


def test_a_strategy_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """SRC-01: what was put into the table of strategies is one."""
    monkeypatch.setitem(dependencies.source_discovery_strategies, "mine", lambda *_: set())
    monkeypatch.setitem(SETTINGS, "DISCOVER_SOURCES", "mine")
    with pytest.raises(AssertionError, match="the run began"):
        _experiment().run(options={"--unobserved": True})


@pytest.mark.parametrize("patterns", [["("], 3, "^noqa", [3]])
def test_patterns_that_are_none(patterns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SCO-09: told by whoever asks for the comments."""
    monkeypatch.setitem(SETTINGS.CONFIG, "IGNORED_COMMENTS", patterns)
    with pytest.raises(SettingError, match="CONFIG.IGNORED_COMMENTS must be a list of regular"):
        _experiment().run("print_config")
