"""Sacred's path of ``sacred.core.output_capture``: the same module."""

import sys

import sacred.core.output_capture as _real
from sacred.core.output_capture import *  # noqa: F403

sys.modules[__name__] = _real
