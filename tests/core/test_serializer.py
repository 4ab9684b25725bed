"""What observers of one's own import to make documents."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
from typing import TYPE_CHECKING, Any

import pytest

import sacred
from sacred.serializer import flatten, restore

if TYPE_CHECKING:
    from pathlib import Path


class _Thing:
    pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("a", "a"),
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        ({1: {"a": (1,)}}, {"1": {"a": [1]}}),
        (b"text", "text"),
        (dt.datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        ({"when": [dt.datetime(2020, 1, 2)]}, {"when": ["2020-01-02T00:00:00"]}),
    ],
)
def test_values_become_plain(value: Any, expected: Any) -> None:
    """CFG-19: dictionaries, lists, numbers and text, as the views of this package hold them."""
    assert expected == flatten(value)
    assert type(expected) is type(flatten(value))


def test_every_value_has_a_plain_form() -> None:
    """An object is the text that names it; JSON takes all of it; the value itself is not changed."""
    given = {"object": _Thing(), "deep": [{"a": (object(),)}], "nan": math.nan}
    flat = flatten(given)
    json.dumps(flat)
    assert "_Thing" in flat["object"]
    assert math.isnan(flat["nan"])
    assert isinstance(given["object"], _Thing)


def test_numpy_becomes_numbers_and_lists() -> None:
    """Not jsonpickle's objects of numpy, which no other program reads."""
    np = pytest.importorskip("numpy")
    flat = flatten({"a": np.arange(3), "b": np.float32(0.5), "c": [np.int64(2)]})
    assert {"a": [0, 1, 2], "b": 0.5, "c": [2]} == flat
    assert (float, int) == (type(flat["b"]), type(flat["c"][0]))


@pytest.mark.parametrize("value", [None, 1, "a", [1, {"a": 2}], {"a": [None, True, 0.5]}])
def test_plain_values_come_back(value: Any) -> None:
    """What was flattened is restored as an equal copy."""
    assert value == restore(flatten(value))


@pytest.mark.parametrize(
    ("flat", "expected"),
    [
        ({"py/tuple": [1, {"py/tuple": [2]}]}, (1, (2,))),
        ({"a": {"py/set": [1, 2]}}, {"a": {1, 2}}),
        ({"py/b64": "eA=="}, b"x"),
        ({"json://1": "one", "json://null": 2, "json://[": 3}, {1: "one", None: 2, "json://[": 3}),
        ({"py/set": [[1]]}, {"py/set": [[1]]}),
        ({"py/b64": 3}, {"py/b64": 3}),
        ({"py/tuple": 3}, {"py/tuple": 3}),
    ],
)
def test_marks_of_plain_values_are_read(flat: Any, expected: Any) -> None:
    """Older documents mark tuples, sets, bytes and keys that are no text; what is none stays."""
    found = restore(flat)
    assert expected == found
    assert type(expected) is type(found)


@pytest.mark.parametrize(
    "payload",
    [
        {"py/object": "os.system", "py/newargs": {"py/tuple": ["touch {0}"]}},
        {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["touch {0}"]}]},
        {"py/object": "subprocess.Popen", "py/initargs": [["touch", "{0}"]]},
        {"py/type": "os.system"},
        {"py/repr": "os/os.system('touch {0}')"},
    ],
)
def test_restoring_builds_no_object(payload: Any, tmp_path: Path) -> None:
    """CFG-18: what names a class or a function is data, and nothing of it is called."""
    mark = tmp_path / "called"
    made = json.loads(json.dumps(payload).replace("{0}", str(mark)))
    found = restore({"a": [made]})["a"][0]
    assert isinstance(found, dict)
    assert list(made) == list(found)
    assert not os.path.exists(mark)


def test_it_is_found_on_the_package() -> None:
    """PKG-03: ``sacred.serializer`` without an import of its own."""
    assert sacred.serializer.flatten is flatten
