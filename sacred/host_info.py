"""Sacred's path of ``sacred.core.host_info``: the same module."""

import sys

import sacred.core.host_info as _real
from sacred.core.host_info import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    SETTINGS="sacred.core.settings",
    optional_kwargs_decorator="sacred.utils",
)
sys.modules[__name__] = _real
