"""Parquet: the relations of a query as Hive-partitioned files, ``<base>/metrics/experiment=E/run=1/``.

How the files are replaced, so that whoever reads the tree at any moment reads whole files and no row
twice, is in ``docs/decisions/0016-a-tree-of-parquet-that-can-always-be-read.md``.
"""

from __future__ import annotations

from sacred.replayers.sinks.parquet.sink import ParquetSink

__all__ = ["ParquetSink"]
