"""Engines that read a Parquet view beside DuckDB: Spark in local mode, and DuckDB over S3.

``$SACRED_ENGINES_PYTHON`` names a Python that has them; else one is made in ``.cache/servers/engines``.
Java is that of the MongoDB server (``servers/mongo.py``).
"""

from __future__ import annotations

import shutil

from servers.environments import Environment

ENGINES = Environment(
    "engines",
    "Spark",
    "SACRED_ENGINES_PYTHON",
    ("pyspark>=4.0", "duckdb>=1.4", "s3fs", "numpy"),
)
interpreter, install = ENGINES.interpreter, ENGINES.install


def missing_packages() -> list[str]:
    """Return the Debian packages without which Spark does not start."""
    return [] if shutil.which("java") else ["default-jdk-headless"]
