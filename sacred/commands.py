"""Sacred's path of ``sacred.core.commands``: the same module."""

import sys

import sacred.core.commands as _real
from sacred.core.commands import *  # noqa: F403

sys.modules[__name__] = _real
