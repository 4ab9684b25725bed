"""One question, several engines, one answer: the files of a Parquet view by DuckDB and by Spark.

    pip install pyspark duckdb s3fs numpy        # an environment of its own; Spark needs Java 17 or newer
    sacred-replay --to parquet:tables            # where the runs are
    python engines.py tables                     # DuckDB and Spark, on the folder
    python engines.py tables s3://bucket/lab     # the same files in a bucket too, by DuckDB

Nothing of sacred is needed to read them. The bucket gets what `aws s3 sync tables s3://bucket/lab` would
bring there; its keys and address come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
"""

import json
import os
import sys
from pathlib import Path

QUESTION = """
    select r.name as experiment, m.metric as metric,
           count(distinct m.run) as runs, count(*) as points, min(m.value) as lowest
    from metrics as m join runs as r on m.run = r.run
    where r.status = 'COMPLETED'
    group by r.name, m.metric
    order by r.name, m.metric
"""


def by_duckdb(place, connection):
    """Ask DuckDB; `place` is a folder or an address that it can read."""
    for table in ("runs", "metrics"):
        connection.sql(
            f"from read_parquet('{place}/{table}/**/*.parquet', hive_partitioning = true)"
        ).create_view(table)
    return connection.sql(QUESTION).fetchall()


def by_spark(place):
    """Ask Spark in this process."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]").appName("engines")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "1",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    for table in ("runs", "metrics"):
        spark.read.parquet(f"{place}/{table}").createOrReplaceTempView(table)
    answer = [tuple(row) for row in spark.sql(QUESTION).collect()]
    spark.stop()
    return answer


def upload(folder, address, store):
    """Bring the tables into a bucket."""
    for path in sorted(Path(folder).rglob("*.parquet")):
        store.put(str(path), f"{address}/{path.relative_to(folder).as_posix()}")


def main(folder, address=None):
    import duckdb

    if not Path(folder, "metrics").is_dir():
        sys.exit(f"{folder} is no Parquet view: sacred-replay --to parquet:{folder} makes one")
    answers = {"DuckDB": by_duckdb(folder, duckdb.connect()), "Spark": by_spark(folder)}
    if address:
        import fsspec

        store = fsspec.filesystem(
            "s3", client_kwargs={"endpoint_url": os.environ.get("AWS_ENDPOINT_URL")}
        )
        upload(folder, address, store)
        connection = duckdb.connect()
        connection.register_filesystem(store)
        answers["DuckDB over S3"] = by_duckdb(address, connection)
    for engine, rows in answers.items():
        print(f"{engine}:")
        for row in rows:
            print("  " + json.dumps(row))
    first = answers["DuckDB"]
    different = [engine for engine, rows in answers.items() if rows != first]
    if different:
        sys.exit(f"not the same answer: {', '.join(different)}")
    print(f"{len(answers)} engines, the same answer")


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    main(*sys.argv[1:])
