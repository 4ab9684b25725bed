"""Sacred's path of ``sacred.core.config.config_scope``: the same module."""

import sys

import sacred.core.config.config_scope as _real
from sacred.core.config.config_scope import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    SETTINGS="sacred.core.settings",
    get_argspec="sacred.core.config.signature",
)
sys.modules[__name__] = _real
