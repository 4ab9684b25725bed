"""Sacred's path of ``sacred.core.options``: the same module."""

import sys

import sacred.core.options as _real
from sacred.core.lending import lend
from sacred.core.options import *  # noqa: F403

lend(
    _real,
    Run="sacred.core.run",
    convert_camel_case_to_snake_case="sacred.utils",
    print_config="sacred.core.commands",
)
sys.modules[__name__] = _real
