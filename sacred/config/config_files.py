"""Sacred's path of ``sacred.core.config.config_files``: the same module."""

import sys

import sacred.core.config.config_files as _real
from sacred.core.config.config_files import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    flatten="sacred.serializer",
    restore="sacred.serializer",
)
sys.modules[__name__] = _real
