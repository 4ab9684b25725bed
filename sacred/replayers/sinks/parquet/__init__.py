"""Parquet: the relations of a query as Hive-partitioned files, ``<base>/metrics/experiment=E/run=1/``.

How the files are replaced, so that whoever reads the tree at any moment reads whole files and no row
twice, is in ``docs/decisions/0017-parquet-that-can-be-read-at-any-moment.md``. Nothing is imported here:
an experiment's process takes a number for its run by ``runs`` alone.
"""
