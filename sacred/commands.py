"""Sacred's path of ``sacred.core.commands``: the same module."""

import sys

import sacred.core.commands as _real
from sacred.core.commands import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    COLOR_ADDED="sacred.core.colour:GREEN",
    COLOR_DIRTY="sacred.core.colour:RED",
    COLOR_DOC="sacred.core.colour:DIM",
    COLOR_MODIFIED="sacred.core.colour:BLUE",
    COLOR_TYPECHANGED="sacred.core.colour:RED",
    ENDC="sacred.core.colour:RESET",
    PATHCHANGE="sacred.core.dotted",
    flatten="sacred.serializer",
    iterate_flattened_separately="sacred.core.dotted",
    save_config_file="sacred.core.config.config_files",
)
sys.modules[__name__] = _real
