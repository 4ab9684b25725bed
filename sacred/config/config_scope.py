"""Sacred's path of ``sacred.core.config.config_scope``: the same module."""

import sys

import sacred.core.config.config_scope as _real
from sacred.core.config.config_scope import *  # noqa: F403

sys.modules[__name__] = _real
