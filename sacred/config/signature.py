"""Sacred's path of ``sacred.core.config.signature``: the same module."""

import sys

import sacred.core.config.signature as _real
from sacred.core.config.signature import *  # noqa: F403

sys.modules[__name__] = _real
