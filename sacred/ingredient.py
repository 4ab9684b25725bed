"""Sacred's path of ``sacred.core.ingredient``: the same module."""

import sys

import sacred.core.ingredient as _real
from sacred.core.ingredient import *  # noqa: F403
from sacred.core.lending import lend

lend(
    _real,
    PEP440_VERSION_PATTERN="sacred.core.dependencies",
    PackageDependency="sacred.core.dependencies",
    Source="sacred.core.sources",
    gather_sources_and_dependencies="sacred.core.dependencies",
    load_config_file="sacred.core.config.config_files",
    optional_kwargs_decorator="sacred.utils",
)
sys.modules[__name__] = _real
