"""Sacred's public path of ``sacred.core.interception``, which it is."""

from __future__ import annotations

import sys

import sacred.core.interception as _real
from sacred.core.interception import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
