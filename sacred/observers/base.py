"""The base of observers, and how to say a duration in words."""

from __future__ import annotations

from sacred.core.observers import RunObserver
from sacred.replayers.durations import td_format

__all__ = ["RunObserver", "td_format"]
