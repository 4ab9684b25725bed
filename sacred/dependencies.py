"""Sacred's path of ``sacred.core.dependencies``: the same module."""

import sys

import sacred.core.dependencies as _real
from sacred.core.dependencies import *  # noqa: F403

sys.modules[__name__] = _real
