"""S3: the tree of a run's files as objects of a bucket, in AWS or any store that speaks S3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.replayers.objects.sink import ObjectSink
from sacred.replayers.sinks.s3.store import S3Store

if TYPE_CHECKING:
    from sacred.replayers.sink import SinkSpec

__all__ = ["S3Sink"]


class S3Sink(ObjectSink):
    """Writes runs as objects of an S3 bucket, which is made if it is not there.

    Options: ``endpoint_url``, ``region``, ``source_dir``, ``resource_dir``.
    """

    def __init__(self, spec: SinkSpec) -> None:
        super().__init__(spec, S3Store(spec))
