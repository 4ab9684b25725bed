"""The events of a small run, as a test calls an observer with them."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2024, 5, 4, 3, 2, 1)
#: Where sacred 0.8.7 is installed, for what is compared with it; None where it is not.
PEER = os.environ.get("SACRED_PEER_PYTHON")


def experiment(*sources: list[str], base: Path | str = "/base") -> dict[str, Any]:
    """Return what a start tells of the experiment."""
    return {
        "name": "iris",
        "base_dir": str(base),
        "sources": list(sources),
        "dependencies": ["numpy==1"],
        "repositories": [],
        "mainfile": "main.py",
    }


def start(observer: Any, run_id: Any = None, ex_info: Any = None, **more: Any) -> Any:
    """Call ``started_event``; what is more goes into the configuration."""
    return observer.started_event(
        ex_info=ex_info or experiment(),
        command="main",
        host_info={"hostname": "here"},
        start_time=NOW,
        config={"a": 1, **more},
        meta_info={"comment": "c"},
        _id=run_id,
    )


def beat(observer: Any, info: Any = None, text: str = "", result: Any = None) -> None:
    """Call ``heartbeat_event``."""
    observer.heartbeat_event(
        info={} if info is None else info, captured_out=text, beat_time=NOW, result=result
    )


def points(*values: float) -> dict[str, Any]:
    """Return the points of one metric, from step 0."""
    steps = list(range(len(values)))
    return {"steps": steps, "values": list(values), "timestamps": [NOW] * len(values)}
