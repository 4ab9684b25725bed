"""S3Observer: what it declares, refuses and hands out, and what it writes when it is called itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from observers.calls import NOW, PEER, beat, experiment, points, start
from servers.objects import MemoryStore

from sacred.core.view_options import s3_option
from sacred.core.views import declared_view
from sacred.observers import s3_observer
from sacred.observers.s3_observer import S3Observer
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.objects.sink import ObjectSink
from sacred.replayers.sink import RunKey, SinkSpec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


@pytest.fixture
def store() -> MemoryStore:
    """A bucket."""
    return MemoryStore()


@pytest.fixture
def observer(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> S3Observer:
    """An observer whose bucket is in memory."""
    monkeypatch.setattr(S3Observer, "_new_store", lambda _: store)
    return S3Observer("my-bucket", "lab/iris", region="eu-central-1")


def _json(store: MemoryStore, key: str) -> Any:
    return json.loads(store.objects[key].content)


# -- the declaration ------------------------------------------------------------------------------


def test_it_declares_a_view() -> None:
    """S3-01, OBS-01: the arguments are the view's specification; its priority is 20."""
    observer = S3Observer("my-bucket", "lab/iris/", "res", "src", region="eu-central-1")
    view = declared_view(observer)
    assert view is not None
    assert ("s3", "s3://my-bucket/lab/iris", "s3:my-bucket/lab/iris") == (
        view["kind"],
        view["url"],
        view["name"],
    )
    names = ("region", "resource_dir", "source_dir", "priority")
    assert ("eu-central-1", "res", "src", 20) == tuple(view["options"][name] for name in names)
    assert "endpoint_url" not in view["options"]


def test_another_store() -> None:
    """The address of a store that speaks S3 is noted, so that a later replay goes there too."""
    observer = S3Observer("my-bucket", "x", region="r", endpoint_url="http://h:9000")
    view = declared_view(observer)
    assert view is not None
    assert "http://h:9000" == view["options"]["endpoint_url"]


def test_the_address_of_a_store_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """``AWS_ENDPOINT_URL`` counts when the observer is made."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://h:9001")
    observer = S3Observer("my-bucket", "x", region="r")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    view = declared_view(observer)
    assert view is not None
    assert "http://h:9001" == view["options"]["endpoint_url"]


@pytest.mark.parametrize("url", ["host:9000", "ftp://h", "http://u:secret@h:1", "http://"])
def test_the_address_of_a_store_that_can_be_none(url: str) -> None:
    """A password in it would stand in the journal: it is refused, and not repeated."""
    with pytest.raises(ValueError, match="endpoint_url is no address of a server") as caught:
        S3Observer("my-bucket", "x", region="r", endpoint_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "bucket", ["ab", "a" * 64, "Abc", "a_b", "-abc", "abc-", "a..b", "192.168.1.1", "a b", ""]
)
def test_a_bucket_that_can_be_none(bucket: str) -> None:
    """S3-01, USE-11: refused where it is given, without asking anybody."""
    with pytest.raises(ValueError, match="is no name of a bucket: it has 3 to 63"):
        S3Observer(bucket, "x", region="r")


@pytest.mark.parametrize("bucket", ["abc", "my-bucket.of-9", "a" * 63, "1.2.3.4.5"])
def test_a_bucket_that_can_be_one(bucket: str) -> None:
    """S3-01: its existence is not asked for (USE-11)."""
    assert bucket == S3Observer(bucket, "x", region="r").bucket


@pytest.mark.parametrize(
    "arguments", [(3, "x"), (b"abc", "x"), ("abc", 3), ("abc", "x", 3), ("abc", "x", None, 3)]
)
def test_what_is_no_text(arguments: tuple[Any, ...]) -> None:
    """S3-01: refused where it is given, with what to write."""
    with pytest.raises(TypeError, match=r"S3Observer\("):
        S3Observer(*arguments, region="r")


def test_what_is_no_priority() -> None:
    """OBS-01: refused where it is given."""
    with pytest.raises(TypeError, match=r"S3Observer\(...\) is 'x': give a number"):
        S3Observer("abc", "x", region="r", priority="x")  # type: ignore[arg-type]


def test_no_region() -> None:
    """S3-01, USE-11: where nothing says a region, the constructor does not end well."""
    with pytest.raises(ValueError, match="region name"):
        S3Observer("my-bucket", "x")


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("", {"AWS_DEFAULT_REGION": "one"}, "one"),
        ("[default]\nregion = two\n", {}, "two"),
        ("[default]\nregion = two\n", {"AWS_DEFAULT_REGION": "one"}, "one"),
        ("[default]\nregion=two\n[profile me]\nregion=three\n", {"AWS_PROFILE": "me"}, "three"),
    ],
)
def test_regions_that_are_found(
    text: str,
    environment: dict[str, str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """S3-01: by the environment, then by the driver's file, which is read without the driver."""
    (tmp_path / "config").write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert expected == S3Observer("my-bucket", "x").region


@pytest.mark.parametrize("text", ["region = x", "[default\n", "\0", "[default]\nregion\n"])
def test_a_configuration_that_is_none(text: str, tmp_path: Path) -> None:
    """S3-01: a file that is no configuration says no region, and nothing breaks."""
    (tmp_path / "config").write_text(text)
    with pytest.raises(ValueError, match="region name"):
        S3Observer("my-bucket", "x")


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-12: said at once, with the package's name."""
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ImportError, match="pip install boto3") as caught:
        S3Observer("my-bucket", "x", region="r")
    assert "boto3" == caught.value.name


def test_nothing_of_the_driver_is_loaded_to_declare() -> None:
    """PKG-05: a training process pays for the journal alone."""
    code = (
        "import sys; from sacred.observers import S3Observer; "
        "S3Observer('abc', 'x', region='r').declare_view(); "
        "print([m for m in ('boto3', 'botocore') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == done.stdout.strip()


def test_equal_ones() -> None:
    """OBS-07: by bucket and path; they can not be hashed."""
    one, two = (S3Observer("abc", "x", region=region) for region in ("r", "s"))
    assert one == two
    assert one != S3Observer("abc", "y", region="r")
    assert one != S3Observer("abd", "x", region="r")
    assert one != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_handles() -> None:
    """USE-04: what programs read."""
    observer = S3Observer("abc", "lab/iris", region="r")
    assert ("lab/iris", "abc", None, 20) == (
        observer.basedir,
        observer.bucket,
        observer.dir,
        observer.priority,
    )
    assert S3Observer.VERSION.startswith("S3Observer")
    assert repr(observer) == "<S3Observer s3://abc/lab/iris/>"


def test_the_place_of_a_run_that_another_process_writes(
    observer: S3Observer, store: MemoryStore
) -> None:
    """USE-04: ``dir`` is asked of the view, once it has the run, whatever id it has there."""
    store.put("lab/iris/1/run.json", b"{}")
    observer.run_began(journal_id="00000000000000aa", run_id=1, view="s3:my-bucket/lab/iris")
    assert observer.dir is None
    sink = ObjectSink(SinkSpec.from_wire(observer._specification()), store)
    assert 2 == sink.claim(RunKey("00000000000000aa", 1))
    assert "lab/iris/2" == observer.dir


class _Own(S3Observer):
    pass


def test_what_was_changed_is_not_declared() -> None:
    """R22: a subclass is called event by event."""
    assert declared_view(_Own("abc", "x", region="r")) is None


def test_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI-10: ``-S s3://bucket/path`` adds the observer."""
    from types import SimpleNamespace

    monkeypatch.setenv("AWS_DEFAULT_REGION", "r")
    run = SimpleNamespace(observers=[])
    s3_option.apply("s3://my-bucket/lab/iris", run)
    assert [S3Observer("my-bucket", "lab/iris")] == run.observers
    assert s3_option is s3_observer.s3_option


# -- called itself --------------------------------------------------------------------------------


def test_a_run_that_is_written_by_calls(
    observer: S3Observer, store: MemoryStore, tmp_path: Path
) -> None:
    """USE-03, USE-11, S3-02: Sacred's objects and not one of ours, under an id that is an integer."""
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "data.csv").write_text("1,2\n")
    source = ["main.py", "0" * 32]
    assert 1 == start(observer, ex_info=experiment(source, base=tmp_path))
    assert "lab/iris/1" == observer.dir
    observer.log_metrics({"loss": points(1.0, 0.5)}, {})
    observer.resource_event(str(tmp_path / "data.csv"))
    observer.artifact_event("out.csv", str(tmp_path / "data.csv"))
    beat(observer, {"a": 1}, "some output\n", 7)
    observer.completed_event(NOW, 7)
    assert {"run.json", "config.json", "cout.txt", "info.json", "metrics.json", "out.csv"} == {
        key.removeprefix("lab/iris/1/") for key in store.objects if key.startswith("lab/iris/1/")
    }
    run = _json(store, "lab/iris/1/run.json")
    assert ("COMPLETED", 7, ["out.csv"], NOW.isoformat()) == (
        run["status"],
        run["result"],
        run["artifacts"],
        run["stop_time"],
    )
    ((name, place),) = run["experiment"]["sources"]
    assert ("main.py", b"print(1)\n") == (name, store.objects[f"lab/iris/{place}"].content)
    ((name, place),) = run["resources"]
    assert (str(tmp_path / "data.csv"), b"1,2\n") == (name, store.objects[place].content)
    assert {"a": 1} == _json(store, "lab/iris/1/info.json")
    metrics = _json(store, "lab/iris/1/metrics.json")
    assert {"steps": [0, 1], "values": [1.0, 0.5], "timestamps": [NOW.isoformat()] * 2} == (
        metrics["loss"]
    )


def test_the_whole_output_is_kept(observer: S3Observer, store: MemoryStore) -> None:
    """S3-03: each beat has all of it; with Sacred the newest piece alone is left."""
    start(observer)
    beat(observer, text="one\n")
    beat(observer, text="one\ntwo\n")
    assert b"one\ntwo\n" == store.objects["lab/iris/1/cout.txt"].content


def test_runs_of_one_observer_keep_apart(
    observer: S3Observer, store: MemoryStore, tmp_path: Path
) -> None:
    """S3-04: metrics of the first do not come again; a source is stored once, beside the runs."""
    (tmp_path / "main.py").write_text("print(1)\n")
    for expected in (1, 2):
        info = experiment(["main.py", "0" * 32], base=tmp_path)
        assert expected == start(observer, ex_info=info)
        observer.log_metrics({f"m{expected}": points(1.0)}, {})
    assert ["m2"] == list(_json(store, "lab/iris/2/metrics.json"))
    (stored,) = [key for key in store.objects if "_sources" in key]
    assert stored.startswith("lab/iris/_sources/main_")


def test_ids(observer: S3Observer, store: MemoryStore) -> None:
    """S3-02, OBS-03: one more than the largest; a given one that is there is refused, 1 is not 10."""
    store.put("lab/iris/10/run.json", b"{}")
    store.put("lab/iris/_sources/99/x", b"")
    store.put("lab/iris/notes", b"")
    assert 11 == start(observer)
    assert "1" == start(observer, "1")
    with pytest.raises(FileExistsError, match="There is a run with the id 10"):
        start(observer, 10)
    for bad in ("a/b", "..", "_sources", ""):
        with pytest.raises(ValueError, match="can not be the name of a run"):
            start(observer, bad)


def test_two_that_start_at_once(observer: S3Observer, store: MemoryStore) -> None:
    """S3-02: the store decides which of them has the next id."""

    def before(name: str, key: str) -> None:
        if name == "put" and key.endswith("/run.json") and key not in store.objects:
            store.before = lambda *_: None
            store.put(key, b'{"of": "another"}')

    store.before = before
    assert 2 == start(observer)
    assert {"of": "another"} == _json(store, "lab/iris/1/run.json")


def test_names_of_the_trees_own(observer: S3Observer, tmp_path: Path) -> None:
    """USE-11: an artifact that would overwrite one is refused."""
    (tmp_path / "x").write_text("x")
    start(observer)
    for name in ("run.json", "config.json", "cout.txt", "metrics.json", "info.json"):
        with pytest.raises(FileExistsError, match=f"necessary for the S3Observer: {name}"):
            observer.artifact_event(name, str(tmp_path / "x"))


def test_a_queued_run(observer: S3Observer, store: MemoryStore) -> None:
    """OBS-02: written with its configuration, and without an end."""
    given = observer.queued_event(experiment(), "main", {}, NOW, {"a": 1}, {}, None)
    assert (1, "QUEUED") == (given, _json(store, "lab/iris/1/run.json")["status"])


def test_events_before_a_start(observer: S3Observer, store: MemoryStore) -> None:
    """EVT-12: nothing is written, and it is said; the end of a run that never began is none."""
    with pytest.raises(RuntimeError, match="comes first"):
        beat(observer)
    observer.failed_event(NOW, ["x"])
    assert {} == store.objects


# -- on a real server -----------------------------------------------------------------------------

PROGRAM = """
import datetime as dt, json, sys
from sacred.observers import S3Observer
bucket, base, folder = sys.argv[1:4]
observer = S3Observer(bucket, base)
now = dt.datetime(2024, 5, 4, 3, 2, 1)
info = {"name": "iris", "base_dir": folder, "sources": [["main.py", "0" * 32]],
        "dependencies": [], "repositories": [], "mainfile": "main.py"}
got = observer.started_event(info, "main", {"hostname": "h"}, now, {"a": 1}, {"c": 2}, None)
metric = {"steps": [0], "values": [1.5], "timestamps": [now]}
observer.log_metrics({"loss": metric}, {})
observer.artifact_event("out.csv", folder + "/main.py")
observer.heartbeat_event({"i": [1, 2]}, "output\\n", now, 3)
observer.completed_event(now, 4)
print(json.dumps([type(got).__name__, observer.basedir, observer.dir]))
"""


@pytest.mark.server
@pytest.mark.skipif(PEER is None, reason="needs Sacred 0.8.7: make servers")
def test_the_same_objects_as_sacreds(s3_server: Any, tmp_path: Path) -> None:
    """USE-03, S3-02: the same calls leave the same documents as Sacred 0.8.7's, but for S3-03 and S3-04."""
    (tmp_path / "main.py").write_text("print(1)\n")
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n")
    environment = {**os.environ, **s3_server.environment(), "AWS_ENDPOINT_URL": s3_server.url}
    environment["AWS_CONFIG_FILE"] = str(tmp_path / "config")
    said, found = [], []
    client = s3_server.client()
    for python in ([str(PEER), "-I"], [sys.executable]):
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        client.create_bucket(Bucket=bucket)  # Sacred can make none in this region
        arguments = [*python, "-W", "ignore", "-c", PROGRAM, bucket, "lab/iris", str(tmp_path)]
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert 0 == done.returncode, done.stderr
        said.append(json.loads(done.stdout))
        documents = {}
        for one in client.list_objects_v2(Bucket=bucket)["Contents"]:
            content = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            name = one["Key"].removeprefix("lab/iris/")
            documents[name] = json.loads(content) if name.endswith(".json") else content
        found.append(documents)
    theirs, ours = found
    for run in (theirs["1/run.json"], ours["1/run.json"]):
        assert "main.py" == run["experiment"].pop("sources")[0][0]
    for documents in found:
        (source,) = [name for name in documents if "_sources" in name]
        assert b"print(1)\n" == documents.pop(source)
    assert theirs == ours
    assert said[0] == said[1]


def test_an_artifact_that_is_not_there(
    observer: S3Observer, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller's mistake is told as Sacred tells it, and not as an error of the bucket."""
    start(observer)

    def put(*_arguments: Any) -> str:
        raise TransientSinkError(
            "the store does not answer"
        )  # what its driver makes of any OSError

    monkeypatch.setattr(store, "put", put)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        observer.artifact_event("out.csv", str(tmp_path / "nowhere.csv"))
    with pytest.raises(IsADirectoryError):
        observer.save_file(str(tmp_path), "out")
