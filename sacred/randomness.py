"""Sacred's path of ``sacred.core.randomness``: the same module."""

import sys

import sacred.core.randomness as _real
from sacred.core.lending import lend
from sacred.core.randomness import *  # noqa: F403

lend(
    _real,
    module_is_in_cache="sacred.core.optional",
)
sys.modules[__name__] = _real
