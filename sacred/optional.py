"""Sacred's path of ``sacred.core.optional``: the same module."""

import sys

import sacred.core.optional as _real
from sacred.core.optional import *  # noqa: F403

sys.modules[__name__] = _real
