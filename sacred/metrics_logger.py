"""Sacred's public path of ``sacred.core.metrics``, which it is."""

from __future__ import annotations

import sys

import sacred.core.metrics as _real
from sacred.core.metrics import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
