"""Sacred's path of ``sacred.core.randomness``: the same module."""

import sys

import sacred.core.randomness as _real
from sacred.core.randomness import *  # noqa: F403

sys.modules[__name__] = _real
