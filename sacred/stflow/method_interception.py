"""Sacred's public path of ``sacred.core.summary_writers``, which it is."""

from __future__ import annotations

import sys

import sacred.core.summary_writers as _real
from sacred.core.summary_writers import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
