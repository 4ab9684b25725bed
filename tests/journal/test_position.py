"""A position names where a reader stands, writer by writer, and survives any store of a view."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.journal import Position, WriterPosition
from sacred.journal.errors import JournalError

NUMBERS = st.integers(0, 2**63 - 1)
AT = st.builds(WriterPosition, st.integers(1, 10**9), NUMBERS, st.integers(0, 2**64 - 1), NUMBERS)
POSITIONS = st.dictionaries(st.integers(0, 10**6), AT, max_size=5).map(Position)


@given(POSITIONS)
def test_positions_survive_json(position):
    """What `to_wire` gives is plain data that JSON, BSON and SQL keep exactly, the chain too."""
    read = Position.from_wire(json.loads(json.dumps(position.to_wire())))
    assert read == position
    assert hash(read) == hash(position)
    assert [at.offset for _, at in sorted(read.items())] == [
        at.offset for _, at in sorted(position.items())
    ]


@pytest.mark.parametrize(
    "wire",
    [
        5,
        "x",
        [1],
        [[1, 2]],
        [[0, 1, 2, "no hex", 4]],
        [[0, 1, 2, 3, 4]],
        {"a": 1},
        [[0, 1, None, "0", 0]],
    ],
)
def test_what_is_no_position_is_refused(wire):
    """Anything else in a view's place for a position is a JournalError that shows it."""
    with pytest.raises(JournalError, match="not a position"):
        Position.from_wire(wire)


def test_the_beginning_is_no_position_at_all():
    """None and an empty list stand for the beginning, which is false."""
    assert Position.from_wire(None) == Position.from_wire([]) == Position()
    assert not Position()
    assert Position().events() == 0


def test_positions_differ_by_chain_and_not_by_offset():
    """The offset is a hint; epoch, number and chain are what counts."""
    at = WriterPosition(1, 5, 77, 100)
    assert Position({0: at}) == Position({0: at._replace(offset=3)})
    for change in ({"epoch": 2}, {"next_seq": 6}, {"chain": 78}):
        assert Position({0: at}) != Position({0: at._replace(**change)})


def test_a_position_is_behind_another_one():
    """A position is behind if the other has events of some writer that it has not."""
    early = Position({0: WriterPosition(1, 5, 0)})
    late = early.moved(0, WriterPosition(1, 6, 0))
    both = early.moved(1, WriterPosition(1, 1, 0))
    assert early.behind(late)
    assert not late.behind(early)
    assert early.behind(both)
    assert late.behind(both)
    assert both.behind(late)
    assert not early.behind(early)
    assert not early.behind(early.moved(2, WriterPosition(1, 0, 0)))
    assert early.events() == 5


def test_a_position_is_shown_and_compared():
    """What people see of a position, and what it is equal to: hints of a place in a file do not count."""
    at = WriterPosition(2, 17, 5, 400)
    position = Position({3: at})
    assert "<Position w3: e2 seq 17>" == repr(position)
    assert "<Position at the beginning>" == repr(Position())
    assert (True, False) == (3 in position, 4 in position)
    assert (True, False) == (bool(position), bool(Position()))
    assert position == Position({3: at._replace(offset=0)})
    assert position != {3: at}
