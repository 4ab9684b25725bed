"""Sacred's public path of ``sacred.core.experiment``, which it is."""

from __future__ import annotations

import sys

import sacred.core.experiment as _real
from sacred.core.experiment import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
