"""Files: Sacred's FileStorage tree, ``<base>/<id>/run.json config.json cout.txt info.json ...``."""

from __future__ import annotations

from sacred.replayers.sinks.file.sink import FileSink

__all__ = ["FileSink"]
