"""MongoObserver: what it declares, refuses and hands out, without a server."""

from __future__ import annotations

import ssl
import subprocess
import sys
from typing import Any

import pytest

from sacred.core.view_options import parse_mongo_db_arg
from sacred.core.views import declared_view
from sacred.observers import mongo
from sacred.observers.file_storage import FileStorageObserver
from sacred.observers.mongo import MongoObserver, QueuedMongoObserver


def _spec(observer: Any) -> dict[str, Any]:
    view = declared_view(observer)
    assert view is not None
    return view


def test_it_declares_a_view() -> None:
    """MGO-01: the arguments are the view's specification."""
    view = _spec(MongoObserver("mongodb://h:1/x", db_name="d", collection_prefix="P"))
    assert ("mongo", "mongodb://h:1/x") == (view["kind"], view["url"])
    assert ("d", "runs", "P", None) == tuple(
        view["options"][name]
        for name in ("db_name", "collection", "collection_prefix", "overwrite")
    )


def test_a_second_run_does_not_write_over_the_first() -> None:
    """MGO-07: an observer writes over once, as with Sacred; a new observer may do so again."""
    observer = MongoObserver("h:1", overwrite=3)
    for _ in range(2):
        assert 3 == _spec(observer)["options"]["overwrite"]
    observer.run_began(journal_id="0" * 16, run_id=3)
    with pytest.raises(RuntimeError, match="Cannot overwrite more than once!"):
        declared_view(observer)
    assert _spec(MongoObserver("h:1", overwrite=3))
    usual = MongoObserver("h:1")
    usual.run_began(journal_id="0" * 16, run_id=3)
    assert _spec(usual)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "mongodb://localhost:27017"),
        ("h:27018", "mongodb://h:27018"),
        ("mongodb+srv://h/d", "mongodb+srv://h/d"),
        (["h:1"], "mongodb://h:1"),
        (["h:1", "mongodb://i:2"], "mongodb://h:1,i:2"),
    ],
)
def test_forms_of_a_url(url: Any, expected: str) -> None:
    """MGO-01: none, host and port, a whole URI; the servers of a replica set, as PyMongo takes them."""
    assert expected == _spec(MongoObserver(url))["url"]


@pytest.mark.parametrize("url", [3, b"h:1", [], [3]])
def test_what_is_no_url(url: Any) -> None:
    """MGO-01: refused where it is given, with what to write."""
    with pytest.raises(TypeError, match=r"The url of MongoObserver\(...\) is .* as in MongoObs"):
        MongoObserver(url)


@pytest.mark.parametrize("make", [MongoObserver, QueuedMongoObserver])
def test_what_is_no_priority(make: Any) -> None:
    """OBS-01: refused where it is given; Sacred fails at the start of the run, or has no order."""
    with pytest.raises(TypeError, match=r"MongoObserver\(...\) is 'x': give a number"):
        make(priority="x")
    with pytest.raises(TypeError, match=r"MongoObserver\(...\) is nan: give a number"):
        make(priority=float("nan"))


@pytest.mark.parametrize("argument", ["db_name", "collection", "collection_prefix", "failure_dir"])
def test_what_is_no_name(argument: str) -> None:
    """MGO-01: refused where it is given; Sacred fails at the server, or takes 3 for a descriptor."""
    with pytest.raises(
        TypeError, match=rf"{argument}\b.*MongoObserver\(|MongoObserver\({argument}="
    ):
        MongoObserver(**{argument: 3})


def test_no_name_shows_a_password() -> None:
    """Passwords are masked in everything printed."""
    observer = MongoObserver("mongodb://me:secret@h1,h2/admin?replicaSet=r", db_name="d")
    assert "mongo:d@h1,h2" == _spec(observer)["name"]
    assert "secret" not in repr(observer)


def test_nothing_of_the_driver_is_loaded_to_declare() -> None:
    """A training process pays for the journal alone."""
    code = (
        "import sys; from sacred.observers import MongoObserver; "
        "MongoObserver('h:1').declare_view(); "
        "print([m for m in ('pymongo', 'bson', 'gridfs', 'sacred.replayers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"client": 3}, ValueError, "client needs to be a pymongo.MongoClient"),
        ({"collection": "fs.files"}, KeyError, "is reserved"),
        ({"collection": "search_spaces"}, KeyError, "is reserved"),
        ({"collection": "a", "collection_prefix": "b"}, ValueError, "collection prefix"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_it_refuses(arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    """MGO-01: the same errors as Sacred's."""
    with pytest.raises(error, match=text):
        MongoObserver(**arguments)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"ssl": True, "ssl_ca_certs": "/c"}, {"tls": True, "tlsCAFile": "/c"}),
        ({"ssl_cert_reqs": 0}, {"tlsAllowInvalidCertificates": True}),
        ({"ssl_cert_reqs": ssl.CERT_NONE}, {"tlsAllowInvalidCertificates": True}),
        ({"ssl_cert_reqs": "CERT_REQUIRED"}, {"tlsAllowInvalidCertificates": False}),
        ({"ssl_match_hostname": False}, {"tlsAllowInvalidHostnames": True}),
        ({"retryWrites": False}, {"retryWrites": False}),
    ],
)
def test_old_keywords_are_mapped(old: dict[str, Any], new: dict[str, Any]) -> None:
    """USE-17: keywords that PyMongo 4 refuses."""
    assert new == _spec(MongoObserver("h", **old))["options"]["client"]


def test_a_live_object_can_not_be_declared() -> None:
    """A keyword that is no data, and collections of one's own, stay in this process."""
    assert declared_view(MongoObserver("h", document_class=dict)) is None
    assert declared_view(MongoObserver.create_from(object(), object())) is None


class _Own(MongoObserver):
    pass


def test_what_was_changed_is_not_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """R22: a subclass, a patched class and a patched object are called event by event."""
    assert declared_view(_Own("h")) is None
    observer = MongoObserver("h")
    observer.heartbeat_event = lambda **_: None  # type: ignore[method-assign]
    assert declared_view(observer) is None
    plain = MongoObserver("h")
    assert declared_view(plain) is not None
    monkeypatch.setattr(MongoObserver, "save_sources", lambda self, ex_info: [], raising=False)
    assert declared_view(plain) is None


def test_the_queued_one_declares_the_same() -> None:
    """QueueObserver(ours) = the same declared view, with its priority."""
    queued = QueuedMongoObserver(url="h", db_name="d", priority=7)
    assert _spec(MongoObserver("h", "d")) == _spec(queued)
    assert 7 == queued.priority


def test_deprecated_ways_warn() -> None:
    """OBS-06, USE-07: create(), and the argument ``collection``; who runs a script sees none of it."""
    with pytest.warns(DeprecationWarning, match="MongoObserver") as created:
        MongoObserver.create(url="h")
        QueuedMongoObserver.create(url="h")
    with pytest.warns(DeprecationWarning, match="collection_prefix") as collected:
        MongoObserver("h", collection="mine")
    with pytest.warns(DeprecationWarning, match="FileStorageObserver") as filed:
        FileStorageObserver.create("runs")
    # Python shows those that come from __main__ alone.
    assert {mongo.__file__} == {warning.filename for warning in (*created, *collected)}
    assert __file__ not in {warning.filename for warning in filed}


def test_equality_is_that_of_the_place() -> None:
    """OBS-07: by runs collection; unhashable as Sacred's."""
    assert MongoObserver("h", "d") == MongoObserver("h", "d", priority=1)
    assert MongoObserver("h", "d") != MongoObserver("h", "e")
    with pytest.raises(TypeError):
        hash(MongoObserver("h"))


def test_an_argument_of_the_command_line_becomes_an_observer() -> None:
    """CLI-11: -m, full URIs included."""
    keywords = parse_mongo_db_arg("mongodb://me:pw@h:1/mydb")
    assert "mydb" == MongoObserver(**keywords).db_name
    assert "mongo:mydb@h:1" == _spec(MongoObserver(**keywords))["name"]
