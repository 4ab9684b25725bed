"""Sacred's path of ``sacred.core.dependencies``: the same module."""

import sys

import sacred.core.dependencies as _real
from sacred.core.dependencies import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    SETTINGS="sacred.core.settings",
    iter_prefixes="sacred.core.dotted",
)
sys.modules[__name__] = _real
