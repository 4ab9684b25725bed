"""Sacred's path of ``sacred.core.commandline``: the same module."""

import sys

import sacred.core.commandline as _real
from sacred.core.commandline import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    CLIOption="sacred.core.options",
    SETTINGS="sacred.core.settings",
    _convert_value="sacred.core.commandline:parse_value",
    restore="sacred.serializer",
    set_by_dotted_path="sacred.core.dotted",
)
sys.modules[__name__] = _real
