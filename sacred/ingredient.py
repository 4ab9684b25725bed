"""Sacred's path of ``sacred.core.ingredient``: the same module."""

import sys

import sacred.core.ingredient as _real
from sacred.core.ingredient import *  # noqa: F403

sys.modules[__name__] = _real
