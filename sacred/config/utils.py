"""Sacred's path of ``sacred.core.config.utils``: the same module."""

import sys

import sacred.core.config.utils as _real
from sacred.core.config.utils import *  # noqa: F403

sys.modules[__name__] = _real
