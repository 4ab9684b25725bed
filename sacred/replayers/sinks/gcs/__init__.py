"""Google Cloud Storage: the tree of a run's files as objects of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.replayers.objects.sink import ObjectSink
from sacred.replayers.sinks.gcs.store import GcsStore

if TYPE_CHECKING:
    from sacred.replayers.sink import SinkSpec

__all__ = ["GcsSink"]


class GcsSink(ObjectSink):
    """Writes runs as objects of a bucket of Google Cloud Storage, which has to be there.

    Options: ``project``, ``source_dir``, ``resource_dir``.
    """

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec, GcsStore(spec))
