"""Sacred's path of ``sacred.core.config.captured_function``: the same module."""

import sys

import sacred.core.config.captured_function as _real
from sacred.core.config.captured_function import *  # noqa: F403

sys.modules[__name__] = _real
