"""Sacred's path of ``sacred.core.commandline``: the same module."""

import sys

import sacred.core.commandline as _real
from sacred.core.commandline import *  # noqa: F403

sys.modules[__name__] = _real
