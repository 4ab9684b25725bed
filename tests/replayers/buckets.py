"""What the tests of views in buckets share."""

from __future__ import annotations

import pytest

from sacred.replayers.follower import Follower
from sacred.replayers.objects.store import ABSENT, ObjectConflictError
from sacred.replayers.registry import load_sink

#: An experiment with something of everything.
PROGRAM = """
from sacred import Experiment
ex = Experiment("iris")

@ex.config
def cfg():
    rate = 0.1

@ex.automain
def main(_run):
    for step in range(20):
        ex.log_scalar("loss", 1.0 / (step + 1), step)
    _run.info["note"] = "yes"
    with open("out.csv", "w") as file:
        file.write("1,2")
    ex.add_artifact("out.csv")
    print("Hello world!")
    return 42
"""


def follow(folder, spec, patience=100.0):
    """Bring a run into a view once; return the status and the error."""
    follower = Follower(folder, load_sink(spec), spec)
    try:
        return follower.run_once(patience=patience), follower.failure
    finally:
        follower.close()


def agrees(store):
    """What every store of objects does, by its five calls."""
    assert store.get("k/none") is None
    with pytest.raises(ObjectConflictError):
        store.put("k/none", b"x", "0123")
    first = store.put("k/a b/\u00e4+?", b"one", ABSENT)
    assert (b"one", first) == store.get("k/a b/\u00e4+?")
    with pytest.raises(ObjectConflictError):
        store.put("k/a b/\u00e4+?", b"two", ABSENT)
    second = store.put("k/a b/\u00e4+?", b"two", first)
    with pytest.raises(ObjectConflictError):
        store.put("k/a b/\u00e4+?", b"three", first)
    assert (b"two", second) == store.get("k/a b/\u00e4+?")
    store.put("k/a b/\u00e4+?", b"four")
    store.put("k/10/x", b"")
    store.put("k/1/x", b"")
    store.put("k/1/y", b"")
    assert ["k/1/", "k/10/", "k/a b/"] == [one.key for one in store.list("k/", folders=True)]
    assert ["k/1/x", "k/1/y"] == [one.key for one in store.list("k/1/")]
    assert [store.get("k/1/x").version] == [one.version for one in store.list("k/1/x")]
    store.delete("k/1/x")
    store.delete("k/1/x")
    assert ["k/1/y"] == [one.key for one in store.list("k/1/")]
    assert [] == list(store.list("nothing/"))
