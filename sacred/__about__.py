"""What the package says of itself."""

from __future__ import annotations

__version__ = "0.1.0"
__author__ = "the sacred-journal authors"
__author_email__ = ""
__url__ = ""
