"""A program with an observer that writes down what it is told; runs under both packages.

    python observed.py WHAT FILE

``WHAT`` is what the run does; the observer's notes go into the file, one JSON line for each event.
"""

import datetime as dt
import json
import sys

from sacred import Experiment
from sacred.observers import RunObserver

EVENTS = (
    *("queued_event", "started_event", "heartbeat_event", "completed_event", "interrupted_event"),
    *("failed_event", "resource_event", "artifact_event", "log_metrics", "join"),
)


class Notes(RunObserver):
    """Writes each event with its arguments and their types."""

    def __init__(self, file):
        self.file = file


def _note(event):
    def note(self, *places, **arguments):
        assert not places
        with open(self.file, "a", encoding="utf-8") as file:
            told = {name: described(value) for name, value in arguments.items()}
            file.write(json.dumps([event, told]) + "\n")

    return note


for _event in EVENTS:
    setattr(Notes, _event, _note(_event))


def described(value):
    """Return a value with the types of everything in it, as JSON; times without what differs."""
    kind = type(value).__name__
    if isinstance(value, dict):
        pairs = [[described(key), described(item)] for key, item in value.items()]
        return ["dict", sorted(pairs, key=repr)]
    if isinstance(value, (list, tuple)):
        return [kind, [described(item) for item in value]]
    if isinstance(value, (set, frozenset)):
        return ["set", sorted((described(item) for item in value), key=repr)]
    if isinstance(value, dt.datetime):
        return [kind, "a time" if value.tzinfo is None else "a time with a zone"]
    if kind == "ndarray":
        return [kind, str(value.dtype), value.tolist()]
    return [kind, value if isinstance(value, (int, float, str, type(None))) else repr(value)]


ex = Experiment("observed")


ex.add_config(pair=(1, 2), nested={"x": 0.5, 3: ["a", None, True]}, text="ä")


@ex.main
def main(_run, what="complete"):
    print("hello")
    _run.info["pair"] = (1, {2: "two"})
    try:
        import numpy as np

        _run.info["array"] = np.arange(6.0).reshape(2, 3)
    except ImportError:
        pass
    for name in ("art.txt", "res.txt"):
        with open(name, "w", encoding="utf-8") as file:
            file.write(name)
    _run.log_scalar("loss", 0.5)
    _run.log_scalar("loss", 1, 10)
    ex.add_artifact("art.txt", name="named", metadata={"k": (1, 2)})
    ex.open_resource("res.txt").close()
    ex.add_resource("res.txt")
    ex.add_artifact("art.txt", content_type="text/x-mine")
    _run.log_scalar("other", 3.0, 2.5)
    if what == "fail":
        raise ValueError("on purpose")
    if what == "interrupt":
        raise KeyboardInterrupt
    return {"result": (1, [2.5])}


if __name__ == "__main__":
    ex.observers.append(Notes(sys.argv[2]))
    options = {"--capture": "sys", "--queue": sys.argv[1] == "queue"}
    try:
        ex.run(config_updates={"what": sys.argv[1], "seed": 5}, options=options)
    except (ValueError, KeyboardInterrupt):
        pass
    sys.exit(0)
