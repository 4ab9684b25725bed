"""Sacred's public path of ``sacred.core.run``, which it is."""

from __future__ import annotations

import sys

import sacred.core.run as _real
from sacred.core.lending import lend
from sacred.core.run import *  # noqa: F403 - for editors and type checkers

lend(
    _real,
    IntervalTimer="sacred.core.heartbeat",
    get_stdcapturer="sacred.core.captured_stdout",
    join_paths="sacred.core.dotted",
    linearize_metrics="sacred.core.metrics",
    set_global_seed="sacred.core.randomness",
)
sys.modules[__name__] = _real
