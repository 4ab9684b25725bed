"""Sacred's path of ``sacred.core.settings``: the same module."""

import sys

import sacred.core.settings as _real
from sacred.core.lending import lend
from sacred.core.settings import *  # noqa: F403

lend(
    _real,
    SacredError="sacred.core.errors",
)
sys.modules[__name__] = _real
