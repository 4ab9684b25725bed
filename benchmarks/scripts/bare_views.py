"""What a loop over the driver alone takes: ``bare_views.py KIND ADDRESS RUNS POINTS BATCH``.

It writes the documents, rows, files or objects that the view of as many runs holds, in batches of as
many points, from values that it draws: no journal is read, nothing is asked or guarded, and a kill
anywhere leaves anything. What the form of a view asks for is written here as well, in its form:
Sacred's indent in files and objects; points and position of a run, without which it could not go on
(``.journal``); in a bucket which id a run has. Files are durable one by one, as a loop does it. The tables of an SQL
view are there: each batch is a transaction with its position, and each point has a time of its own.
"""

import datetime as dt
import json
import os
import random
import sys

import msgpack

OUTPUT = "an epoch has ended\n" * 20
NAMES = ("loss", "accuracy")
FACTS = {
    "experiment": {"name": "replayed", "base_dir": "/base", "mainfile": "main.py"},
    "command": "main",
    "host": {"hostname": "host", "python_version": "3.11", "cpu_count": 2},
    "meta": {"command": "main", "options": {}},
    "status": "COMPLETED",
    "resources": [],
    "artifacts": [],
    "captured_out": OUTPUT,
    "result": 0.5,
    "info": {},
}


def batches(points, batch):
    """Yield the beginning of each batch and the steps, values and times of a metric in it."""
    every = points // len(NAMES)
    size = max(1, batch // len(NAMES))
    for begin in range(0, every, size):
        count = min(size, every - begin)
        now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
        values = [random.random() for _ in range(count)]
        yield begin, list(range(begin, begin + count)), values, [now] * count


def mongo(address, runs, points, batch):
    import pymongo

    client = pymongo.MongoClient(address)
    database = client.get_default_database()
    database.runs.create_index("_journal.id", unique=True, sparse=True)
    for number in range(1, runs + 1):
        now = dt.datetime.now(dt.timezone.utc)
        config = {"seed": number, "rate": 0.1, "layers": [64, 64, 10]}
        stands = {"id": f"{number:016x}", "position": 0}
        document = {"_id": number, **FACTS, "config": config, "start_time": now, "heartbeat": now}
        document["_journal"] = stands
        database.runs.insert_one(document)
        for begin, steps, values, times in batches(points, batch):
            database.metrics.bulk_write(
                [
                    pymongo.UpdateOne(
                        {"run_id": number, "name": name, "_id": f"{number}-{name}"},
                        {
                            "$push": {
                                "steps": {"$each": steps},
                                "values": {"$each": values},
                                "timestamps": {"$each": times},
                            }
                        },
                        upsert=True,
                    )
                    for name in NAMES
                ]
            )
            marks = {"heartbeat": now, "_journal.position": begin + len(steps)}
            database.runs.update_one({"_id": number}, {"$set": marks})
    client.close()


def connected(address):
    """Return a connection of the driver, and how it writes a parameter."""
    from urllib.parse import urlsplit

    parts = urlsplit(address)
    if parts.scheme == "sqlite":
        import sqlite3

        return sqlite3.connect(address.partition("///")[2]), "?"
    login = {"host": parts.hostname, "port": parts.port, "user": parts.username}
    if parts.scheme.startswith("postgres"):
        import psycopg

        name = parts.path.lstrip("/")
        return psycopg.connect(dbname=name, password=parts.password, **login), "%s"
    import pymysql

    name = parts.path.lstrip("/")
    return pymysql.connect(database=name, password=parts.password or "", **login), "%s"


def inserted(cursor, mark, table, row):
    """Insert a row, or several of the same columns."""
    rows = row if isinstance(row, list) else [row]
    names, marks = ", ".join(rows[0]), ", ".join([mark] * len(rows[0]))
    statement = f"INSERT INTO {table} ({names}) VALUES ({marks})"
    values = [tuple(one.values()) for one in rows]
    if len(values) == 1:
        cursor.execute(statement, values[0])
    else:
        cursor.executemany(statement, values)


POINT = ("run_key", "writer", "seq", "metric", "step", "value", "time")


def add_points(cursor, mark, rows, copies):
    """Insert points as the driver does it: many by a call, or by COPY where that is wanted."""
    names = ", ".join(POINT)
    if copies:
        with cursor.copy(f"COPY journal_point ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join([mark] * len(POINT))
    for first in range(0, len(rows), 10_000):
        part = rows[first : first + 10_000]
        cursor.executemany(f"INSERT INTO journal_point ({names}) VALUES ({marks})", part)


def sql(address, runs, points, batch, *, copies=False):
    """Write the rows of a view into its own tables, which are there: a commit a batch, as the view."""
    connection, mark = connected(address)
    cursor = connection.cursor()
    microsecond = dt.timedelta(microseconds=1)

    def plain(time):
        # sqlite3 has no times; what it makes of one itself is deprecated.
        return time.isoformat(" ", "microseconds") if mark == "?" else time

    host = {"host_id": 1, "cpu": None, "hostname": "host", "python_version": "3.11"}
    inserted(cursor, mark, "host", host)
    experiment = {"experiment_id": 1, "name": "replayed", "md5sum": "0" * 32, "base_dir": "/base"}
    inserted(cursor, mark, "experiment", experiment)
    for number in range(1, runs + 1):
        now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
        when = plain(now)
        for begin, steps, values, _ in batches(points, batch):
            position = json.dumps([[0, 0, begin, begin, 0]])
            if begin:
                cursor.execute(
                    f"UPDATE journal_run SET revision = {mark}, position = {mark}, ahead = {mark} "
                    f"WHERE journal_id = {mark}",
                    (begin, position, position, f"{number:016x}"),
                )
            else:
                run = {"id": number, "run_id": str(number), "command": "main"}
                run |= {"start_time": when, "heartbeat": when, "stop_time": when}
                run |= {"priority": 0.0, "comment": "", "captured_out": OUTPUT, "info": "{}"}
                config = {"seed": number, "rate": 0.1, "layers": [64, 64, 10]}
                run |= {"config": json.dumps(config), "status": "COMPLETED", "host_id": 1}
                run |= {"experiment_id": 1, "result": 0.5, "result_json": "0.5"}
                inserted(cursor, mark, "run", run)
                stands = {"journal_id": f"{number:016x}", "run_key": number, "revision": 1}
                stands |= {"position": position, "ahead": position, "projector": 1}
                stands |= {"event_order": "arrival", "spool": 0}
                inserted(cursor, mark, "journal_run", stands)
                metrics = [
                    {"run_key": number, "metric": metric, "name": name}
                    for metric, name in enumerate(NAMES)
                ]
                inserted(cursor, mark, "journal_metric", metrics)
            for metric in range(len(NAMES)):
                rows = [
                    (number, 0, len(NAMES) * step + metric, metric, float(step), value, time)
                    for step, value, time in zip(
                        steps,
                        values,
                        (plain(now + step * microsecond) for step in steps),
                        strict=True,
                    )
                ]
                add_points(cursor, mark, rows, copies)
            connection.commit()
    connection.close()


def sql_copy(address, runs, points, batch):
    sql(address, runs, points, batch, copies=True)


def documents(number, points, batch):
    """Yield the names and contents of what is written of a run, in turn; the position is the last."""
    now = dt.datetime.now(dt.timezone.utc).isoformat()
    metrics = {name: {"steps": [], "values": [], "timestamps": []} for name in NAMES}
    parts = []
    for _, steps, values, times in batches(points, batch):
        shown = [time.isoformat() for time in times]
        stored = [time.timestamp() for time in times]
        content = b""
        for name in NAMES:
            metrics[name]["steps"] += steps
            metrics[name]["values"] += values
            metrics[name]["timestamps"] += shown
            content += msgpack.packb([name, steps, values, stored])
        parts.append(len(content))
        yield f".journal/points/{len(parts)}", content
    yield "config.json", json.dumps({"seed": number, "rate": 0.1, "layers": [64, 64, 10]}, indent=2)
    yield "cout.txt", OUTPUT
    yield "metrics.json", json.dumps(metrics, indent=2, sort_keys=True)
    facts = {name: value for name, value in FACTS.items() if name != "captured_out"}
    run = {**facts, "start_time": now, "heartbeat": now}
    yield "run.json", json.dumps(run, indent=2, sort_keys=True)
    stands = {"journal_id": f"{number:016x}", "view_id": number, "position": points, "parts": parts}
    yield ".journal/position.json", json.dumps(stands)


def encoded(content):
    return content.encode() if isinstance(content, str) else content


def files(address, runs, points, batch):
    base = address.partition(":")[2]
    for number in range(1, runs + 1):
        folder = os.path.join(base, str(number))
        os.makedirs(os.path.join(folder, ".journal"))
        for name, content in documents(number, points, batch):
            if name.startswith(".journal/points/"):
                with open(os.path.join(folder, ".journal", "points"), "ab") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                continue
            path = os.path.join(folder, name)
            with open(path + ".new", "wb") as file:
                file.write(encoded(content))
                file.flush()
                os.fsync(file.fileno())
            os.replace(path + ".new", path)


def s3(address, runs, points, batch):
    from urllib.parse import parse_qs, urlsplit

    import boto3

    parts = urlsplit(address)
    place = {name: found[-1] for name, found in parse_qs(parts.query).items()}
    client = boto3.client("s3", endpoint_url=place["endpoint_url"], region_name=place["region"])
    client.create_bucket(Bucket=parts.netloc)
    base = parts.path.strip("/")
    for number in range(1, runs + 1):
        index = f"{base}/.journal/runs/{number:016x}.json"
        client.put_object(Bucket=parts.netloc, Key=index, Body=b'{"view_id": %d}' % number)
        for name, content in documents(number, points, batch):
            key = f"{base}/{number}/{name}"
            client.put_object(Bucket=parts.netloc, Key=key, Body=encoded(content))


def gcs(address, runs, points, batch):
    from urllib.parse import urlsplit

    from google.cloud import storage

    parts = urlsplit(address)
    bucket = storage.Client(project="test").bucket(parts.netloc)
    base = parts.path.strip("/")
    for number in range(1, runs + 1):
        index = f"{base}/.journal/runs/{number:016x}.json"
        bucket.blob(index).upload_from_string(b'{"view_id": %d}' % number)
        for name, content in documents(number, points, batch):
            bucket.blob(f"{base}/{number}/{name}").upload_from_string(encoded(content))


KINDS = {
    "mongo": mongo,
    "sqlite": sql,
    "postgresql": sql,
    "postgresql-copy": sql_copy,
    "mariadb": sql,
    "file": files,
    "s3": s3,
    "gcs": gcs,
}

if __name__ == "__main__":
    kind, address, *counts = sys.argv[1:]
    KINDS[kind](address, *map(int, counts))
