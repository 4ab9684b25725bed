"""Facts that are found late, and dicts that wait for them only when asked."""

from __future__ import annotations

import copy
import json
import threading
from typing import Any

import pytest

from sacred.core.facts import BackgroundFacts, LateDict


def _late(calls: list[int]) -> LateDict:
    def find() -> dict[str, Any]:
        calls.append(1)
        return {"name": "found", "sources": [1]}

    return LateDict({"name": "known"}, find, ("sources", "gpus"))


def test_what_is_known_waits_for_nothing() -> None:
    """main() waits for its config, a journal and an id; nothing else."""
    calls: list[int] = []
    facts = _late(calls)
    facts["comment"] = "set"
    assert ("known", "set", None, "d") == (
        facts["name"],
        facts.get("comment"),
        facts.get("other"),
        facts.get("more", "d"),
    )
    assert {"name": "known", "comment": "set"} == facts.known()
    assert [] == calls


def test_what_is_late_is_found_once() -> None:
    """The first who asks waits; what was known or set by hand stays."""
    calls: list[int] = []
    facts = _late(calls)
    assert [1] == facts["sources"] == facts["sources"]
    assert {"name": "known", "sources": [1]} == facts
    assert [1] == calls
    assert not facts.pending


@pytest.mark.parametrize(
    "look",
    [
        dict,
        len,
        list,
        repr,
        copy.copy,
        copy.deepcopy,
        lambda facts: json.dumps(facts),
        lambda facts: {**facts},
        lambda facts: facts.items(),
        lambda facts: "sources" in facts,
    ],
)
def test_looking_at_the_whole_completes_it(look: Any) -> None:
    """However somebody goes through it, it is whole."""
    facts = _late([])
    look(facts)
    assert not facts.pending


def test_a_fact_that_does_not_exist() -> None:
    """A late entry that was not found is missing like any other."""
    facts = _late([])
    assert "gpus" not in facts
    with pytest.raises(KeyError):
        facts["gpus"]


def test_work_in_the_background_is_waited_for() -> None:
    """Within bounds, and what it raised is told."""
    go = threading.Event()
    facts = BackgroundFacts(lambda: go.wait(100) and None)
    assert not facts.done
    facts.start()
    assert facts.wait(0.01) is None
    assert not facts.done
    go.set()
    assert facts.wait(100) is None
    assert facts.done
    failing = BackgroundFacts(lambda: {}["x"])
    failing.start()
    assert isinstance(failing.wait(100), KeyError)
