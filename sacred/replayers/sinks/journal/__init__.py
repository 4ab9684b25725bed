"""Copies of journals: a run's files and blobs as they are, in a folder or a bucket."""

from __future__ import annotations

from sacred.replayers.sinks.journal.sink import JournalSink

__all__ = ["JournalSink"]
