"""The addresses of views: options behind the ``?``, and what a view lacks that is not installed."""

from __future__ import annotations

import os
import sys

import pytest

from sacred.replayers.errors import SinkMissingError, SinkSpecError
from sacred.replayers.registry import load_sink
from sacred.replayers.replay import replay
from sacred.replayers.sink import SinkSpec


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_options_of_a_file_view(tmp_path):
    """What stands behind the ``?`` are the observer's arguments; the folder is what is before it."""
    spec = SinkSpec.parse("file:x?copy_sources=no&copy_artifacts=1&resource_dir=shared%20files")
    assert str(tmp_path / "x") == spec.url
    assert {
        "copy_sources": False,
        "copy_artifacts": True,
        "resource_dir": str(tmp_path / "shared files"),
    } == spec.options
    assert f"file:{tmp_path / 'x'}" == spec.name


def test_a_file_view_without_sources(root, tmp_path, run_writer):
    """``copy_sources=no`` is what it says, as for the observer."""
    run_writer(root.claim(), points=1)
    for address in ("file:all", "file:few?copy_sources=no"):
        assert 0 == replay(root, None, [SinkSpec.parse(address)]).exit_code
    assert list((tmp_path / "all" / "_sources").iterdir())
    assert [".journal"] == [path.name for path in (tmp_path / "few" / "_sources").iterdir()]
    assert ["all", "few"] == sorted(name for name in os.listdir(tmp_path) if name != root.path.name)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("file:x?copy_source=0", "a file view has no option 'copy_source': did you mean copy_sou"),
        ("file:x?zzz=1", "there is copy_artifacts, copy_sources, resource_dir, source_dir"),
        ("file:x?copy_sources=maybe", "the option copy_sources is yes or no"),
        ("file:x?copy_sources=0&copy_sources=1", "is given twice"),
        ("file:x?resource_dir=", "needs a folder: resource_dir=DIR"),
        ("file:?copy_sources=0", "a file view needs a folder"),
        ("tinydb:x?copy_sources=0", "a TinyDB has no option 'copy_sources': it has none"),
        ("parquet:x?priority=1", "a Parquet view has no option 'priority': it has none"),
        ("journal:x?region=1", "a copy of journals in a folder has no option 'region'"),
        ("journal:s3://bucket/x?regio=a", "did you mean region?"),
        ("s3://bucket/x?region=", "the option region of the address is empty"),
        ("gs://bucket/x?projet=a", "did you mean project?"),
    ],
)
def test_options_that_there_are_not(tmp_path, address, says):
    """They are refused with the nearest name or all; no folder is made of them."""
    with pytest.raises(SinkSpecError) as caught:
        SinkSpec.parse(address)
    assert says in str(caught.value)
    assert [] == os.listdir(tmp_path)


def test_a_question_mark_in_a_name(tmp_path):
    """Where no ``name=value`` is behind it, it is a letter of the folder's name."""
    assert str(tmp_path / "what?") == SinkSpec.parse("file:what?").url
    assert str(tmp_path / "a?b") == SinkSpec.parse("tinydb:a?b").url


def test_duckdb_is_not_installed(monkeypatch):
    """A Parquet view says so before a run is looked at, with the line that brings it."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(SinkMissingError, match="needs duckdb: pip install duckdb"):
        load_sink(SinkSpec.parse("parquet:x"))


@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [
        ("postgresql+psycopg2", "psycopg2", "psycopg2"),
        ("mysql+mysqldb", "MySQLdb", "mysqlclient"),
        ("mysql+pymysql", "pymysql", "PyMySQL"),
    ],
)
def test_a_driver_that_the_address_names(monkeypatch, scheme, module, package):
    """One that the extra does not bring is told by its own name."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SinkMissingError, match=f"needs {package}: pip install {package}$"):
        load_sink(SinkSpec.parse(f"{scheme}://h/d"))


def test_a_package_that_a_sink_asks_for_late(root, run_writer, monkeypatch):
    """It is told as what it is, not as a defect; the other view has the run."""
    run_writer(root.claim(), points=1)
    monkeypatch.setattr(
        "sacred.replayers.sinks.file.FileSink.open", lambda _: __import__("yaml.nowhere")
    )
    summary = replay(root, None, [SinkSpec.parse("file:x"), SinkSpec.parse("tinydb:y")])
    told = {one.view.partition(":")[0]: one.error for one in summary.outcomes}
    assert told["file"].endswith("needs yaml, which is not installed: pip install PyYAML")
    assert told["tinydb"] is None
