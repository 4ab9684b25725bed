"""How numbers of things are said."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, what: str) -> str:
    """Return a number of things as people say it: ``1 event``, ``1,002 events``."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
