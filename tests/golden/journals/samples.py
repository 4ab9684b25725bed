"""What the golden journals' events say: every field of every type, plausible and invented."""

from __future__ import annotations

import struct

from sacred.journal import EventType
from sacred.journal.codec import BlobReference

E = EventType
BLOB = BlobReference("sha256", "3f" * 32, 12345).to_wire()
HOST = {"hostname": "golden", "cpu": "a processor", "python_version": "3.11.9", "gpus": None}
EXPERIMENT = {"name": "golden", "base_dir": "/srv/golden", "mainfile": "train.py", "doc": "Trains."}
META = {"command": "main", "options": {"--force": False}, "comment": "first", "priority": None}
CONFIG = {"lr": 0.01, "layers": [64, 64], "name": "größe", "nested": {"deep": {"x": None}}}
START = {
    "run_id": 57,
    "name": "golden",
    "command": "main",
    "config": CONFIG,
    "meta": META,
    "experiment": EXPERIMENT,
    "host": HOST,
}
#: Of each type every field; those of other types make no sense without a file around them.
SAMPLES = {
    E.RUN_QUEUED: {
        **START,
        "meta": {**META, "queue_time": 1_700_000_000_000_000_000},
        "modifications": {"added": [], "modified": ["lr"], "typechanged": {}, "docs": {}},
        "seed": 42,
        "views": [{"kind": "file", "url": "/srv/runs"}],
    },
    E.RUN_CLAIMED: {"worker": "golden:4242", "until": 1_700_000_100_000_000_000},
    E.RUN_RELEASED: {"worker": "golden:4242", "reason": "no GPU is free"},
    E.RUN_STARTED: {
        **START,
        "modifications": {
            "added": ["momentum"],
            "modified": ["lr"],
            "typechanged": {"lr": ["int", "float"]},
            "docs": {"lr": "the learning rate"},
        },
        "seed": 123456789,
        "status": "RUNNING",
        "capture": "fd",
        "beat_interval": 10.0,
        "info": {"started": True},
        "views": [{"kind": "mongo", "url": "mongodb://golden/sacred"}],
    },
    E.RUN_RESUMED: {
        "reason": "the machine was started anew",
        "checkpoint": {"epoch": 7, "file": "model-7.pt"},
        "last_seen": 1_699_999_000_000_000_000,
    },
    E.HEARTBEAT: {"durable": 17},
    E.GAP: {"writer": 3, "first_seq": 100, "count": 28, "reason": "No space left on device"},
    E.METRIC_POINT: {"metric": "loss", "step": 0, "value": 0.5},
    E.OUTPUT: {"stream": 1, "data": b"epoch 1: loss 0.5\r\n", "begin": 0, "end": 32},
    E.OUTPUT_FILTERED: {"keep": 9, "text": "loss 0.5\n"},
    E.INFO_CHANGED: {
        "set": [[["metrics", 0], {"name": "loss"}], [["done"], True]],
        "deleted": [["old", "key"], ["list", 3]],
    },
    E.INFO_SNAPSHOT: {"info": {"metrics": [{"name": "loss"}], "done": True}},
    E.RESULT_CHANGED: {"result": 0.25},
    E.RESOURCE_ADDED: {
        "filename": "/srv/golden/data.csv",
        "blob": BLOB,
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
        "error": "the file changed while it was read",
    },
    E.ARTIFACT_ADDED: {
        "name": "model",
        "filename": "/srv/golden/model.pt",
        "blob": BLOB,
        "metadata": {"epoch": 7, "tags": ["best"]},
        "content_type": "application/octet-stream",
        "guessed_type": "application/x-pytorch",
        "version": 2,
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
        "error": "none",
    },
    E.DIRECTORY_ADDED: {
        "name": "checkpoints",
        "role": "artifact",
        "filename": "/srv/golden/checkpoints",
        "entries": [["a/b.pt", BLOB, 0o644], ["run.sh", BLOB, 0o755]],
        "metadata": {"kept": 2},
        "version": 1,
    },
    E.SOURCE_ADDED: {
        "filename": "train.py",
        "path": "/srv/golden/train.py",
        "md5": "d41d8cd98f00b204e9800998ecf8427e",
        "blob": BLOB,
        "main": True,
        "error": "none",
    },
    E.DEPENDENCIES_FOUND: {"dependencies": ["numpy==2.1.0", "torch==2.5.1"]},
    E.REPOSITORY_FOUND: {
        "url": "https://***@example.org/golden.git",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": True,
        "diff": {**BLOB, "encoding": "identity"},
        "root": "/srv/golden",
    },
    E.HOST_FACTS: {"facts": {"gpus": {"driver": "560", "gpus": [{"model": "a card"}]}}},
    E.TEXT_LOGGED: {"name": "samples", "step": 3, "text": "Once upon a time", "blob": BLOB},
    E.IMAGE_LOGGED: {
        "name": "samples",
        "step": 3,
        "blob": BLOB,
        "content_type": "image/png",
        "width": 640,
        "height": 480,
        "caption": "a cat",
    },
    E.ARRAY_LOGGED: {
        "name": "weights",
        "step": 1.5,
        "dtype": "<f4",
        "shape": [2, 2],
        "data": struct.pack("<4f", 1, -1, 0.5, 0),
        "blob": BLOB,
    },
    E.HISTOGRAM_LOGGED: {
        "name": "gradients",
        "step": 3,
        "edges": [-1.0, 0.0, 1.0],
        "counts": [3, 12],
    },
    E.CHILD_BEGAN: {"kind": "rank", "label": "rank 3 of 8", "rank": 3},
    E.CHILD_ENDED: {"status": "exit 0"},
    E.ANNOTATED: {"what": "tag", "action": "add", "value": "best", "author": "a person"},
    E.REDACTED: {
        "path": ["config", "password"],
        "digest": "3f" * 32,
        "reason": "a password",
    },
    E.RUN_ENDED: {
        "how": "failed",
        "status": "FAILED",
        "result": {"accuracy": 0.75},
        "fail_trace": ["Traceback (most recent call last):\n", "ValueError: no\n"],
    },
    E.TOMBSTONE: {"reason": "a mistake", "author": "a person"},
    E.WATERMARK: {"durable": 18},
    E.METRIC_DECLARED: {
        "metric": "loss",
        "unit": "nats",
        "better": "lower",
        "system": False,
        "doc": "mean over a batch",
    },
    E.USAGE: {
        "wall": 12.5,
        "user": 11.25,
        "system": 0.5,
        "peak_memory": 123_456_789,
        "children_user": 1.5,
        "children_system": 0.0,
        "children_peak_memory": 0,
    },
    E.VIEW_ID: {"view": "mongodb://golden/sacred", "id": 900},
    E.LINKED: {"relation": "rerun_of", "target": "0123456789abcdef"},
    E.CHILD_SEEN: {"writer": 3},
    E.VIEW_DECLARED: {"view": {"kind": "sql", "url": "sqlite:///golden.db"}},
    E.MESSAGE: {"level": "warning", "text": "the disk is nearly full", "source": "sacred"},
}
