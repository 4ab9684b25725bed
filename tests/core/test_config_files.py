"""Configuration files."""

from __future__ import annotations

import json
import pickle
import sys
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest

from sacred.core.config.config_files import load_config_file, save_config_file
from sacred.core.config.errors import ConfigFileAccessError, ConfigFileError
from sacred.core.config.plain import plain_value


class _Level(IntEnum):
    HIGH = 3


class _Thing:
    pass


def test_json_is_read_and_written(tmp_path):
    """CFG-18, CFG-19: sorted keys, indented by two."""
    path = tmp_path / "config.json"
    save_config_file({"b": {"c": None}, "a": [1, 2.5, "ü"]}, path)
    assert path.read_text() == (
        '{\n  "a": [\n    1,\n    2.5,\n    "\\u00fc"\n  ],\n  "b": {\n    "c": null\n  }\n}'
    )
    assert load_config_file(str(path)) == {"a": [1, 2.5, "ü"], "b": {"c": None}}


def test_reading_json_builds_no_objects(tmp_path):
    """CFG-18: what makes jsonpickle call a function stays the dictionary that it is."""
    path = tmp_path / "config.json"
    content = {"a": {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["false"]}]}}
    path.write_text(json.dumps(content))
    assert content == load_config_file(path)


def test_what_json_can_not_hold_becomes_plain():
    """CFG-19: arrays and sets become lists, code is left out, other objects become their names."""
    thing = _Thing()
    assert plain_value(
        {
            "t": (1, {2}), "np": np.float32(0.5), "array": np.arange(2), "level": _Level.HIGH,
            "path": Path("x"), 1: True, "module": sys, "function": plain_value, "len": len,
            "class": _Thing, "object": thing,
        }
    ) == {
        "t": [1, [2]], "np": 0.5, "array": [0, 1], "level": 3, "path": "x", "1": True,
        "class": f"{__name__}._Thing", "object": repr(thing),
    }  # fmt: skip
    assert type(plain_value(_Level.HIGH)) is int


def test_pickle_is_read_and_written(tmp_path):
    """CFG-18: a pickle holds what it was given."""
    path = tmp_path / "config.pickle"
    save_config_file({"a": (1, {2})}, path)
    assert load_config_file(path) == pickle.loads(path.read_bytes()) == {"a": (1, {2})}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_toml_is_read(tmp_path):
    """CFG-18: beyond Sacred, TOML can be read and not written."""
    path = tmp_path / "config.toml"
    path.write_text("a = 1\n[b]\nc = [1.5]\n")
    assert load_config_file(path) == {"a": 1, "b": {"c": [1.5]}}
    with pytest.raises(ValueError, match="only be read"):
        save_config_file({}, tmp_path / "other.toml")


def test_yaml_is_read_safely(tmp_path):
    """CFG-18: YAML builds plain values only."""
    yaml = pytest.importorskip("yaml")
    path = tmp_path / "config.yaml"
    save_config_file({"a": (1, {"b": None})}, path)
    assert load_config_file(path) == {"a": [1, {"b": None}]}
    path.write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ConfigFileError, match="Tags that build objects of Python") as caught:
        load_config_file(path)
    assert isinstance(caught.value.__cause__, yaml.YAMLError)


def test_yaml_without_its_package(tmp_path, monkeypatch):
    """CFG-18: the error says what to install, and is the KeyError that Sacred raises."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "config.yaml").write_text("a: 1\n")
    with pytest.raises(KeyError) as caught:
        load_config_file(tmp_path / "config.yaml")
    assert isinstance(caught.value, ImportError)
    assert "pip install PyYAML" in str(caught.value)


def test_an_unknown_extension(tmp_path):
    """CFG-18: ValueError with the extensions there are."""
    (tmp_path / "config.txt").write_text("")
    with pytest.raises(ValueError, match=r'invalid or unsupported extension ".txt".*\.json'):
        load_config_file(tmp_path / "config.txt")


def test_a_mark_in_front_of_the_text_is_no_part_of_it(tmp_path):
    """CFG-18: editors on Windows put a byte order mark in front of UTF-8."""
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load_config_file(path) == {"a": 1}


def test_a_file_that_can_not_be_written(tmp_path):
    """CFG-19: an OSError in a sentence that names the file."""
    path = tmp_path / "nowhere" / "config.json"
    with pytest.raises(ConfigFileAccessError, match="nowhere.*can not be written") as caught:
        save_config_file({}, path)
    assert isinstance(caught.value, OSError)
