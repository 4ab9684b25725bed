"""Sacred's path of ``sacred.core.config.custom_containers``: the same module."""

import sys

import sacred.core.config.custom_containers as _real
from sacred.core.config.custom_containers import *  # noqa: F403

sys.modules[__name__] = _real
