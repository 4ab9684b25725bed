"""Sacred's path of ``sacred.core.host_info``: the same module."""

import sys

import sacred.core.host_info as _real
from sacred.core.host_info import *  # noqa: F403

sys.modules[__name__] = _real
