"""Sacred's path of ``sacred.core.config.config_summary``: the same module."""

import sys

import sacred.core.config.config_summary as _real
from sacred.core.config.config_summary import *  # noqa: F403

sys.modules[__name__] = _real
