"""Sacred's path of ``sacred.core.config.captured_function``: the same module."""

import sys

import sacred.core.config.captured_function as _real
from sacred.core.config.captured_function import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    captured_function="sacred.core.config.captured_function:create_captured_function",
    fallback_dict="sacred.core.config.custom_containers",
)
sys.modules[__name__] = _real
