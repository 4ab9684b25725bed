"""The options that attach observers."""

from __future__ import annotations

import types

import pytest

from sacred.core import view_options
from sacred.core.commandline import CommandLineError
from sacred.core.passwords import mask_password
from sacred.core.view_options import parse_mongo_db_arg


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo", {"db_name": "foo"}),
        ("host:1234", {"url": "host:1234"}),
        ("host:27017:db", {"url": "host:27017", "db_name": "db"}),
        ("db.coll", {"db_name": "db", "collection": "coll"}),
        ("db.coll:12", {"url": "db.coll:12"}),
        (
            "db.coll:12!5",
            {"priority": 5, "db_name": "db", "collection": "coll", "overwrite": "12"},
        ),
        (
            "host:1:db.coll:3!-4",
            {
                "url": "host:1",
                "priority": -4,
                "db_name": "db",
                "collection": "coll",
                "overwrite": "3",
            },
        ),
        ("foo!3", {"priority": 3, "db_name": "foo"}),
        ("1.2.3.4:5:db", {"url": "1.2.3.4:5", "db_name": "db"}),
        ("localhost", {"db_name": "localhost"}),
        ("h-x.y:1", {"url": "h-x.y:1"}),
        ("foo.bar!1", {"priority": 1, "db_name": "foo", "collection": "bar"}),
    ],
)
def test_the_old_forms_of_a_database(text, expected):
    """CLI-11: these are read as they always were."""
    assert expected == parse_mongo_db_arg(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mongodb://h", {"url": "mongodb://h"}),
        ("mongodb://h/db", {"url": "mongodb://h/db", "db_name": "db"}),
        (
            "mongodb://u:p%40@a:1,b:2/db?replicaSet=r!7",
            {"url": "mongodb://u:p%40@a:1,b:2/db?replicaSet=r", "db_name": "db", "priority": 7},
        ),
        (
            "mongodb+srv://u:p@h/?authSource=admin",
            {"url": "mongodb+srv://u:p@h/?authSource=admin"},
        ),
        (
            "mongodb://h/db.coll",
            {"url": "mongodb://h/db.coll", "db_name": "db", "collection": "coll"},
        ),
    ],
)
def test_whole_uris(text, expected):
    """CLI-11: a URI with user, password and options is taken as it is."""
    assert expected == parse_mongo_db_arg(text)


@pytest.mark.parametrize(
    "text", ["", "foo:bar", "a b", "db.runs.x", "h:99999999", "db.coll:abc", "foo!x", "http://x"]
)
def test_no_database_is_a_sentence(text):
    """CLI-11 [!]: an argument of another form failed with AttributeError."""
    with pytest.raises(ValueError, match="is no database for -m/--mongo_db"):
        parse_mongo_db_arg(text)


def test_a_password_is_not_shown():
    """CLI-11: the error about a URI hides its password."""
    with pytest.raises(ValueError, match="mongodb://me:\\*\\*\\*@h") as caught:
        parse_mongo_db_arg("mongodb://me:secret@h /x")
    assert "secret" not in str(caught.value)
    assert "postgresql://u:***@h/db" == mask_password("postgresql://u:p@h/db")


@pytest.fixture
def calls(monkeypatch):
    """Stands in for the observer classes."""
    made = []

    def load(kind):
        def make(*args, **kwargs):
            made.append((kind, args, kwargs))
            return kind

        return make

    monkeypatch.setattr(view_options, "load_observer", load)
    return made


@pytest.mark.parametrize(
    ("option", "value", "call"),
    [
        (view_options.file_storage_option, "runs", ("file", ("runs",), {})),
        (view_options.sql_option, "sqlite://", ("sql", ("sqlite://",), {})),
        (view_options.tiny_db_option, "d", ("tinydb", (), {"path": "d"})),
        (view_options.s3_option, "s3://b/x/y", ("s3", (), {"bucket": "b", "basedir": "x/y"})),
        (view_options.gcs_option, "gs://b/x/", ("gcs", (), {"bucket": "b", "basedir": "x"})),
        (
            view_options.mongo_db_option,
            "db.c:3!1",
            (
                "mongo",
                (),
                {"db_name": "db", "collection": "c", "overwrite": 3, "priority": 1},
            ),
        ),
    ],
)
def test_an_observer_is_added(calls, option, value, call):
    """CLI-10: -F -s -t -S -G -m add their observer to the run."""
    run = types.SimpleNamespace(observers=[])
    option.apply(value, run)
    assert ([call], [call[0]]) == (calls, run.observers)


@pytest.mark.parametrize("value", ["foo", "s3://a", "s3:///x", "gs://a/b", "s3://a/"])
def test_a_wrong_bucket_is_a_sentence(value):
    """CLI-10: -S takes s3://<bucket>/path only."""
    with pytest.raises(CommandLineError, match="s3://<bucket>/path/to/exp"):
        view_options.s3_option.apply(value, types.SimpleNamespace(observers=[]))


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        (view_options.s3_option, "s3://UPPER/x", "-S/--s3: 'UPPER' is no name of a bucket"),
        (view_options.s3_option, "s3://bucket/x", "-S/--s3: .*region"),
        (view_options.gcs_option, "gs://b/x", "-G/--gcs: 'b' is no name of a bucket"),
    ],
)
def test_a_bucket_that_can_be_none_is_a_sentence(monkeypatch, tmp_path, option, value, sentence):
    """CLI-10, S3-01: what the observer refuses is told where it was typed, without a traceback."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(CommandLineError, match=sentence):
        option.apply(value, types.SimpleNamespace(observers=[]))


def test_a_package_that_is_not_installed_is_a_sentence(monkeypatch):
    """GCS-01: the line that installs it, without a traceback."""

    def missing(**_arguments):
        raise ImportError("it needs a package: pip install it")

    monkeypatch.setattr(view_options, "load_observer", lambda _kind: missing)
    with pytest.raises(CommandLineError, match="-G/--gcs: it needs a package: pip install it"):
        view_options.gcs_option.apply("gs://bucket/x", types.SimpleNamespace(observers=[]))


def test_an_observer_that_is_not_there_is_a_sentence(monkeypatch):
    """PKG-02: an installation without a view says so."""
    monkeypatch.setitem(view_options.OBSERVERS, "file", "sacred.observers.nowhere:Nothing")
    with pytest.raises(CommandLineError, match='lacks the "file" observer'):
        view_options.load_observer("file")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "-s needs the URL of a database"),
        (3, "-s needs the URL of a database"),
        ("runs.db", "an SQL view is written sqlite:///runs.db"),
        ("sqlite:x.db", "three slashes: write sqlite:///x.db"),
        ("postgresql://me:s3cret@host", "needs a database: write postgresql://host/NAME"),
    ],
)
def test_a_wrong_database_is_a_sentence(value, says):
    """CLI-10: -s takes a URL; what is none is told with what to write, without its password."""
    with pytest.raises(CommandLineError, match=says) as caught:
        view_options.sql_option.apply(value, types.SimpleNamespace(observers=[]))
    assert "s3cret" not in str(caught.value)
