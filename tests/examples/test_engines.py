"""The same question to DuckDB, to Spark and to DuckDB over S3: the same answer."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import sacred
from sacred.journal.root import JournalRoot
from sacred.replayers.contract import write_run
from sacred.replayers.replay import replay

EXAMPLE = Path(__file__).parents[2] / "examples" / "engines.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A Parquet view of three runs, one of which goes on, and the answer of ``sacred.query``."""
    root = JournalRoot(tmp_path / "sacred_runs")
    for points in (50, 7):
        write_run(root.claim(), points=points)
    going_on = write_run(root.claim(), points=9, ends=False, name="other / name")
    replay(root, None, [f"parquet:{tmp_path / 'tables'}"])
    going_on.close()
    return tmp_path / "tables"


def _asked(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    from servers.engines import interpreter

    python = interpreter()
    assert python is not None, "make servers makes the environment with Spark"
    return subprocess.run(
        [str(python), str(EXAMPLE), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": ""},
    )


@pytest.mark.server
@pytest.mark.slow
def test_engines_give_one_answer(
    tree: Path, s3_server: object, s3_place: str, tmp_path: Path
) -> None:
    """DuckDB, Spark in local mode and DuckDB over S3 say of a view what a query says of the journals."""
    s3_server.client().create_bucket(Bucket=s3_place)  # type: ignore[attr-defined]
    done = _asked(tmp_path, str(tree), f"s3://{s3_place}/lab")
    assert 0 == done.returncode, done.stderr[-2000:]
    expected = sacred.query(
        "select r.name, metric, count(distinct run), count(*), min(value) from metrics join runs r "
        "using (run) where status = 'COMPLETED' group by all order by all",
        tmp_path / "sacred_runs",
    ).rows
    assert [("contract", "dotted.name", 2, 20, 0.0), ("contract", "loss", 2, 57, 0.0)] == expected
    answers: dict[str, list[tuple[object, ...]]] = {}
    for line in done.stdout.splitlines()[:-1]:
        if line.endswith(":"):
            rows = answers[line[:-1]] = []
        else:
            rows.append(tuple(json.loads(line)))
    assert dict.fromkeys(["DuckDB", "Spark", "DuckDB over S3"], expected) == answers
    assert "3 engines, the same answer" == done.stdout.splitlines()[-1]


@pytest.mark.server
def test_a_folder_that_is_no_view(tmp_path: Path) -> None:
    """A folder without tables is told in a sentence."""
    done = _asked(tmp_path, "nothing")
    assert 1 == done.returncode
    assert (
        "nothing is no Parquet view: sacred-replay --to parquet:nothing makes one\n" == done.stderr
    )
