"""What each kind of view has to hold of a run, said from the fold of its journal alone.

Nothing but the tree's names is the sinks': their own way of making documents is what is tested.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math

from sacred.replayers.tree.names import artifact_file, shared_file

EPOCH = dt.datetime(1970, 1, 1)


def _time(micros):
    return EPOCH + dt.timedelta(microseconds=micros)


def _iso(value):
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="microseconds")
    return str(value)


def _json(value):
    return json.dumps(value, indent=2, sort_keys=True, default=_iso).encode()


def in_memory(folded):
    """The reference's: the fields as they are."""
    metrics = {
        name: {"steps": one.steps, "values": one.values, "timestamps": one.times}
        for name, one in folded.metrics.items()
    }
    return {**folded.document, "captured_out": folded.output, "metrics": metrics}


def in_tree(folded, base, *, printable=False):
    """The tree's files and their bytes, but for what is ours alone.

    ``base`` stands in front of the names of shared files among the resources of ``run.json``.
    ``printable``: the place takes no other names.
    """

    def stored_as(name):
        if not printable:
            return artifact_file(name)
        return artifact_file(name, aside=not name.isprintable(), longest=200)

    document = dict(folded.document)
    files = {"cout.txt": folded.output.encode("utf-8", "replace")}
    files["config.json"] = _json(document.pop("config"))
    info = document.pop("info")
    if info:
        files["info.json"] = _json(info)
    # Values that are lists stand in it without line breaks: it is compared by what it says.
    files["metrics.json"] = json.loads(
        _json(
            {
                name: {
                    "steps": one.steps,
                    "timestamps": [_time(at) for at in one.times],
                    "values": one.values,
                }
                for name, one in folded.metrics.items()
            }
        )
    )
    sources = [
        [one.name, _shared("_sources", one, folded, printable)]
        for one in document["experiment"]["sources"]
    ]
    document["experiment"] = {**document["experiment"], "sources": sources}
    document["resources"] = [
        [one.name, base + _shared("_resources", one, folded, printable)]
        for one in document["resources"]
    ]
    artifacts = document["artifacts"]
    newest = {one.name: one for one in artifacts}
    for name, one in newest.items():
        if folded.contents[one.key] is not None:
            files[stored_as(name)] = folded.contents[one.key]
    document["artifacts"] = [stored_as(one.name) for one in artifacts]
    files["run.json"] = _json(document)
    return files


def tree(files):
    """A tree's files by name, as ``in_tree`` has them."""
    found = {name: one for name, one in files.items() if not name.startswith(".journal/")}
    if "metrics.json" in found:
        found["metrics.json"] = json.loads(found["metrics.json"])
    return found


def _shared(folder, entry, folded, printable):
    if folded.contents[entry.key] is None:
        return entry.path
    name = entry.name
    if printable:
        name = "".join(one if one.isprintable() else "_" for one in name)
    return f"{folder}/{shared_file(name, entry.md5)}"


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_bson(value):
    """A plain value as it comes back from MongoDB: times in milliseconds, no integers beyond int64."""
    if isinstance(value, dict):
        return {key: in_bson(item) for key, item in _without_nul(value)}
    if isinstance(value, list):
        return [in_bson(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    if type(value) is int and not -(1 << 63) <= value < 1 << 63:
        return str(value)
    return value


def times_as_text(value):
    """What clients read as JSON."""
    if isinstance(value, dict):
        return {key: times_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [times_as_text(item) for item in value]
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="microseconds")
    return value


def _without_nul(tree):
    """The entries of a map, their keys without NUL: those that had none keep theirs, of others that
    become the same the second is ``key (2)``."""
    taken = {key for key in tree if "\0" not in key}
    for key, item in tree.items():
        names = [key.replace("\0", "")]
        names += [f"{names[0]} ({number})" for number in range(2, len(tree) + 2)]
        name = key if key in taken else next(each for each in names if each not in taken)
        taken.add(name)
        yield name, item


def in_mongo(folded):
    """MongoDB's document, with the points and contents in the places of what refers to them."""
    document = in_bson(
        {
            k: times_as_text(v) if k in {"info", "result"} else v
            for k, v in folded.document.items()
            if k not in _FILES
        }
    )
    experiment = dict(folded.document["experiment"])
    sources = experiment.pop("sources")
    document["experiment"] = in_bson(experiment)
    contents = folded.contents
    if not isinstance(document["info"].get("metrics"), list):
        document["info"].pop("metrics", None)  # the references to the metrics stand there
    said = folded.annotations
    board = {"tags": list(said.tags), "notes": said.notes}
    board = {name: value for name, value in board.items() if value}
    return {
        **document,
        **({"omniboard": board} if board else {}),
        "format": "MongoObserver-0.7.0",
        "captured_out": folded.output,
        "sources": [[s.name, contents[s.key]] for s in sources if contents[s.key] is not None],
        "resources": [
            [r.name, contents[r.key]]
            for r in folded.document["resources"]
            if contents[r.key] is not None
        ],
        "artifacts": [
            [a.name, contents[a.key]]
            for a in folded.document["artifacts"]
            if contents[a.key] is not None
        ],
        "metrics": {
            name: {
                "steps": in_bson(one.steps),
                "values": in_bson(one.values),
                "timestamps": in_bson([_time(at) for at in one.times]),
            }
            for name, one in folded.metrics.items()
        },
    }


_FILES = frozenset({"experiment", "resources", "artifacts"})


def _finite(value):
    """What JSON has a form for, in a database that takes no NaN."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(value)]
    if isinstance(value, dt.datetime):
        return value.isoformat() + "Z"
    return value


def in_sql(folded):
    """The columns and rows of SQL's tables."""

    def text(value):
        return None if value is None else value.replace("\0", "\ufffd")

    document, contents = folded.document, folded.contents
    trace = document.get("fail_trace")
    result = document.get("result")
    number = type(result) in {int, float} and abs(result) < 1e300 and math.isfinite(result)
    return {
        "status": text(document["status"]),
        "command": text(document["command"]),
        "start_time": document["start_time"],
        "heartbeat": document["heartbeat"],
        "stop_time": document.get("stop_time"),
        "config": _finite(document["config"]),
        "info": _finite(document["info"]),
        "result": float(result) if number else None,
        "result_json": None if result is None else _finite(result),
        "fail_trace": None if trace is None else text("\n".join(trace)),
        "captured_out": text(folded.output),
        "sources": sorted(
            (
                [text(one.name), text(_decoded(contents[one.key]))]
                for one in document["experiment"]["sources"]
            ),
            key=repr,
        ),
        "resources": sorted(
            ([text(one.name), contents[one.key]] for one in document["resources"]), key=repr
        ),
        "artifacts": [[text(one.name), contents[one.key]] for one in document["artifacts"]],
        "metrics": {
            text(name): [
                (_time(at), _doubles(step, value))
                for step, value, at in zip(one.steps, one.values, one.times, strict=True)
            ]
            for name, one in folded.metrics.items()
        },
    }


def _doubles(*pair):
    """Two numbers, if doubles can stand for both."""
    for one in pair:
        if type(one) is int and abs(one) <= 1 << 53:
            continue
        if type(one) is not float or not math.isfinite(one) or repr(one) == "-0.0":
            return _finite([*pair])
    return [*map(float, pair)]


def _decoded(content):
    return None if content is None else content.decode("utf-8", "replace")


def in_tinydb(folded):
    """TinyDB's document, with the points and contents in the places of what refers to them."""

    def tagged(value, date=lambda value: "{TinyDate}:" + _iso(value)):
        if isinstance(value, dict):
            return {key: tagged(item, date) for key, item in value.items()}
        if isinstance(value, list):
            return [tagged(item, date) for item in value]
        return date(value) if isinstance(value, dt.datetime) else value

    document = {k: v for k, v in folded.document.items() if k not in _FILES}
    experiment = dict(folded.document["experiment"])
    sources = experiment.pop("sources")
    contents = folded.contents
    return {
        **tagged(document),
        "experiment": tagged(experiment),
        "captured_out": folded.output,
        "sources": [[s.name, contents[s.key]] for s in sources],
        "resources": [[r.name, contents[r.key]] for r in folded.document["resources"]],
        "artifacts": [[a.name, contents[a.key]] for a in folded.document["artifacts"]],
        "metrics": {
            name: {
                "steps": one.steps,
                "values": tagged(one.values, str),
                "timestamps": [_iso(_time(at)) for at in one.times],
            }
            for name, one in folded.metrics.items()
        },
    }
