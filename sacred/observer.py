"""A path that Sacred's documents name for ``sacred.observers``, which it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import sacred.observers as _real

if TYPE_CHECKING:
    from sacred.observers import *  # noqa: F403 - for editors and type checkers

sys.modules[__name__] = _real
