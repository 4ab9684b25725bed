"""Sacred's path of ``sacred.core.config.config_dict``: the same module."""

import sys

import sacred.core.config.config_dict as _real
from sacred.core.config.config_dict import *  # noqa: F403

sys.modules[__name__] = _real
