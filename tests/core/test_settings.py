"""The settings, and the journal's with their environment variables."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from sacred.core.settings import (
    SETTINGS,
    FrozenKeyMunch,
    SettingError,
    collection_settings,
    journal_settings,
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("SACRED_JOURNAL_VIEW_WAIT")


@pytest.fixture
def journal(monkeypatch):
    """The group JOURNAL, put back after the test."""
    before = dict(SETTINGS.JOURNAL)
    yield SETTINGS.JOURNAL
    SETTINGS.JOURNAL.update(before)


def test_the_defaults():
    """SET-01: every setting of Sacred with its default."""
    assert [
        "CONFIG", "HOST_INFO", "GIT", "SAMPLING", "COMMAND_LINE", "CAPTURE_MODE",
        "DISCOVER_DEPENDENCIES", "DISCOVER_SOURCES", "DEFAULT_BEAT_INTERVAL", "JOURNAL",
    ] == list(SETTINGS)  # fmt: skip
    assert {
        "ENFORCE_KEYS_MONGO_COMPATIBLE": True,
        "ENFORCE_KEYS_JSONPICKLE_COMPATIBLE": True,
        "ENFORCE_VALID_PYTHON_IDENTIFIER_KEYS": False,
        "ENFORCE_STRING_KEYS": False,
        "ENFORCE_KEYS_NO_EQUALS": True,
        "READ_ONLY_CONFIG": True,
        "IGNORED_COMMENTS": ["^pylint:", "^noinspection"],
        "NUMPY_RANDOM_LEGACY_API": False,
    } == {key: SETTINGS.CONFIG[key] for key in SETTINGS.CONFIG}
    assert SETTINGS.COMMAND_LINE == {
        "STRICT_PARSING": False,
        "SHOW_DISABLED_OPTIONS": True,
        "ALLOW_PICKLE": False,
        "COLOR": "auto",
    }
    assert SETTINGS.DEFAULT_BEAT_INTERVAL == 10.0
    assert SETTINGS["DISCOVER_SOURCES"] == "imported"


@pytest.mark.parametrize(
    ("group", "name", "value", "sentence"),
    [
        ("HOST_INFO", "CAPTURED_ENV", "HOME", "must be a list of texts, not 'HOME'"),
        ("HOST_INFO", "CAPTURED_ENV", None, "must be a list of texts, not None"),
        ("HOST_INFO", "SECRET_ENV", [1], "must be a list of texts"),
        ("GIT", "DIFF_EXCLUDE", ".env", "must be a list of texts"),
        ("GIT", "MAX_DIFF_SIZE", "5 MB", "must be a number of bytes, not '5 MB'"),
        ("GIT", "MAX_DIFF_SIZE", True, "must be a number of bytes"),
        ("GIT", "MAX_DIFF_SIZE", -1, "must be a number of bytes"),
        ("SAMPLING", "INTERVAL", "often", "must be a number of seconds"),
        ("SAMPLING", "INTERVAL", 0, "must be None or at least 0.1 seconds, not 0"),
        ("SAMPLING", "INTERVAL", float("nan"), "must be a number of seconds"),
    ],
)
def test_what_is_collected_is_checked(monkeypatch, group, name, value, sentence):
    """A value that can not be used is a sentence that names the setting."""
    monkeypatch.setitem(SETTINGS[group], name, value)
    with pytest.raises(SettingError, match=f"SETTINGS.{group}.{name} {re.escape(sentence)}"):
        collection_settings()


def test_what_is_collected(monkeypatch):
    """Changes are recorded, and nothing is sampled, unless the settings say other."""
    found = collection_settings()
    assert (True, 5 << 20, None) == (found.diff, found.diff_limit, found.sample_every)
    monkeypatch.setitem(SETTINGS.SAMPLING, "INTERVAL", 10)
    assert 10.0 == collection_settings().sample_every


@pytest.mark.parametrize(
    "change",
    [
        lambda munch: setattr(munch, "c", 1),
        lambda munch: munch.__setitem__("c", 1),
        lambda munch: munch.update({"a": 2, "c": 1}),
        lambda munch: munch.setdefault("c", 1),
        lambda munch: setattr(munch, "group", {"x": 1}),
        lambda munch: setattr(munch.group, "y", 1),
        lambda munch: munch.__delitem__("a"),
    ],
)
def test_frozen_keys_refuse(change):
    """A12: an unknown key and a replaced group are SettingErrors, and nothing is changed."""
    munch = FrozenKeyMunch(a=1, group={"x": 1})
    munch.freeze_keys()
    with pytest.raises(SettingError):
        change(munch)
    assert munch == {"a": 1, "group": {"x": 1}}


def test_attributes_and_items_are_the_same():
    """A12: settings are set and read as attributes and as items."""
    munch = FrozenKeyMunch(a=1, group={"x": 1})
    munch.freeze_keys()
    munch.a = 2
    munch["group"]["x"] = 3
    assert (2, 3) == (munch["a"], munch.group.x)
    with pytest.raises(AttributeError):
        munch.nothing
    with pytest.raises(KeyError):
        munch["nothing"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_frozen_too(copied):
    """A12: deepcopy keeps the freeze, at every level."""
    munch = copied(SETTINGS)
    assert munch == SETTINGS
    assert munch.CONFIG is not SETTINGS.CONFIG
    with pytest.raises(SettingError):
        munch.CONFIG.NEW = 1


def test_journal_settings_by_default():
    """SETTINGS.JOURNAL: nothing given."""
    assert (None, "second", 10.0, True, True) == tuple(journal_settings())


def test_the_environment_wins_over_the_settings(journal, monkeypatch, tmp_path):
    """SETTINGS.JOURNAL: each variable wins, and is read at the moment of asking."""
    journal.update(ROOT=tmp_path, DURABILITY="process", VIEW_WAIT=1, ENABLED=False, SEAL=False)
    assert (str(tmp_path), "process", 1.0, False, False) == tuple(journal_settings())
    monkeypatch.setenv("SACRED_JOURNAL_ROOT", "elsewhere")
    monkeypatch.setenv("SACRED_JOURNAL_DURABILITY", "event")
    monkeypatch.setenv("SACRED_JOURNAL_VIEW_WAIT", "2.5")
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "Yes")
    assert ("elsewhere", "event", 2.5, True, False) == tuple(journal_settings())
    monkeypatch.setenv("SACRED_JOURNAL_ENABLED", "")
    assert journal_settings().enabled is False


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DURABILITY", "sometimes"),
        ("VIEW_WAIT", "soon"),
        ("VIEW_WAIT", "-1"),
        ("VIEW_WAIT", "nan"),
        ("ENABLED", "perhaps"),
        ("SEAL", "later"),
    ],
)
def test_a_useless_value_names_where_it_came_from(name, value, journal, monkeypatch):
    """SETTINGS.JOURNAL: a wrong value is a SettingError that names variable or setting."""
    journal[name] = value
    with pytest.raises(SettingError, match=f"SETTINGS.JOURNAL.{name} must be"):
        journal_settings()
    monkeypatch.setenv(f"SACRED_JOURNAL_{name}", value)
    with pytest.raises(SettingError, match=f"environment variable SACRED_JOURNAL_{name} must be"):
        journal_settings()
