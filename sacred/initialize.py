"""Sacred's path of ``sacred.core.initialize``: the same module."""

import sys

import sacred.core.initialize as _real
from sacred.core.initialize import *  # noqa: F403

sys.modules[__name__] = _real
