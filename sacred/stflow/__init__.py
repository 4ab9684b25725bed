"""TensorBoard's writers: ``LogFileWriter`` notes in which folders a run has them write."""

from __future__ import annotations

from sacred.core.summary_writers import LogFileWriter, SummaryWriterMissingError

__all__ = ["LogFileWriter", "SummaryWriterMissingError"]
