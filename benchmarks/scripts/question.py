"""Ask for mean and minimum of each metric of each run: ``question.py KIND FOLDER``.

Prints how many groups there are, and the mean of their means. KIND is ``mlflow`` (SQL to its SQLite
file), ``tensorboard`` (TensorBoard's own reader), ``sacred`` (``metrics.json``, by DuckDB's reader of
JSON), ``journal`` (``sacred.query``).
"""

import os
import sys


def mlflow(folder):
    import sqlite3

    connection = sqlite3.connect(os.path.join(folder, "mlflow.db"))
    sql = "select run_uuid, key, avg(value), min(value) from metrics group by run_uuid, key"
    return connection.execute(sql).fetchall()


def tensorboard(folder):
    import numpy as np
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = []
    for name in sorted(os.listdir(folder)):
        events = EventAccumulator(os.path.join(folder, name), size_guidance={"scalars": 0})
        events.Reload()
        for metric in events.Tags()["scalars"]:
            values = np.array([each.value for each in events.Scalars(metric)])
            rows.append((name, metric, float(values.mean()), float(values.min())))
    return rows


def sacred(folder):
    import duckdb

    # The objects in a file are metrics: their names are keys, which are taken as a map.
    sql = """
        with files as (
            select filename, unnest(map_entries(json)) as metric
            from read_json(?, columns = {json: 'MAP(VARCHAR, STRUCT("values" DOUBLE[]))'},
                           format = 'auto', records = false, filename = true,
                           maximum_object_size = 1000000000)
        )
        select filename, metric.key, list_avg(metric.value."values"), list_min(metric.value."values")
        from files
    """
    return duckdb.execute(sql, [os.path.join(folder, "*", "metrics.json")]).fetchall()


def journal(folder):
    from sacred import query

    sql = "select run, metric, avg(value), min(value) from metrics group by all"
    return query(sql, folder).rows


def main(kind, folder):
    ask = {"mlflow": mlflow, "tensorboard": tensorboard, "sacred": sacred, "journal": journal}
    rows = ask[kind](folder)
    print(len(rows), sum(row[2] for row in rows) / len(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
