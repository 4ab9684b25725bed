"""Sacred's path of ``sacred.core.options``: the same module."""

import sys

import sacred.core.options as _real
from sacred.core.options import *  # noqa: F403

sys.modules[__name__] = _real
