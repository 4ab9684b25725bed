"""Sacred's public path of ``sacred.core.run``, which it is."""

from __future__ import annotations

import sys

import sacred.core.run as _real
from sacred.core.run import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
