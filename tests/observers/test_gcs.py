"""GoogleCloudStorageObserver: what it declares and refuses, and what it writes when it is called itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from observers.calls import NOW, PEER, beat, points, start
from servers.objects import MemoryStore

from sacred.core.view_options import gcs_option
from sacred.core.views import declared_view
from sacred.observers.gcs_observer import GoogleCloudStorageObserver
from sacred.observers.s3_observer import S3Observer

if TYPE_CHECKING:
    from pathlib import Path


def test_it_declares_a_view() -> None:
    """GCS-01, OBS-01: the arguments are the view's specification; its priority is 20."""
    view = declared_view(GoogleCloudStorageObserver("my-bucket", "/lab/iris/", "res"))
    assert view is not None
    assert ("gcs", "gs://my-bucket//lab/iris", "gcs:my-bucket//lab/iris") == (
        view["kind"],
        view["url"],
        view["name"],
    )
    options = ("resource_dir", "source_dir", "priority")
    assert ["res", "/lab/iris/_sources", 20] == [view["options"][name] for name in options]


@pytest.mark.parametrize(
    "bucket", ["ab", "a" * 64, "Abc", "-abc", "192.168.1.1", "goog-x", "my-google-x", ""]
)
def test_a_bucket_that_can_be_none(bucket: str) -> None:
    """GCS-01, USE-11: refused where it is given, Google's own name among them."""
    with pytest.raises(ValueError, match="is no name of a bucket"):
        GoogleCloudStorageObserver(bucket, "x")


def test_a_bucket_that_can_be_one() -> None:
    """GCS-01, USE-11: its existence is not asked for; an underscore may be in it, unlike in S3."""
    assert "a_b" == GoogleCloudStorageObserver("a_b", "x").bucket
    with pytest.raises(ValueError, match="is no name of a bucket"):
        S3Observer("a_b", "x", region="r")


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-12: said at once, with the package's name."""
    monkeypatch.setitem(sys.modules, "google", None)
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    monkeypatch.delitem(sys.modules, "google.cloud.storage", raising=False)
    with pytest.raises(ImportError, match="pip install google-cloud-storage"):
        GoogleCloudStorageObserver("abc", "x")


def test_nothing_of_the_driver_is_loaded_to_declare() -> None:
    """PKG-05: a training process pays for the journal alone."""
    code = (
        "import sys; from sacred.observers import GoogleCloudStorageObserver; "
        "GoogleCloudStorageObserver('abc', 'x').declare_view(); "
        "print([m for m in ('google.cloud.storage', 'google.auth', 'requests') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "[]" == done.stdout.strip()


def test_equal_ones() -> None:
    """OBS-07: by bucket and path; not those of another kind of store; they can not be hashed."""
    one = GoogleCloudStorageObserver("abc", "x")
    assert one == GoogleCloudStorageObserver("abc", "x", priority=3)
    assert one != GoogleCloudStorageObserver("abc", "y")
    assert one != S3Observer("abc", "x", region="r")
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_the_option() -> None:
    """CLI-10, GCS-01: ``-G gs://bucket/path``, which Sacred has not, adds the observer."""
    run = SimpleNamespace(observers=[])
    gcs_option.apply("gs://my-bucket/lab/iris", run)
    assert [GoogleCloudStorageObserver("my-bucket", "lab/iris")] == run.observers


def test_a_run_that_is_written_by_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """USE-03, USE-04, USE-11, GCS-01: the tree's objects, under an id that is an integer."""
    store = MemoryStore()
    monkeypatch.setattr(GoogleCloudStorageObserver, "_new_store", lambda _: store)
    observer = GoogleCloudStorageObserver("my-bucket", "lab/iris")
    assert (1, "lab/iris/1") == (start(observer), observer.dir)
    observer.log_metrics({"loss": points(1.0)}, {})
    beat(observer, text="one\n")
    beat(observer, text="one\ntwo\n")
    observer.completed_event(NOW, 7)
    names = ["config.json", "cout.txt", "metrics.json", "run.json"]
    assert [f"lab/iris/1/{name}" for name in names] == sorted(store.objects)
    assert b"one\ntwo\n" == store.objects["lab/iris/1/cout.txt"].content


PROGRAM = """
import datetime as dt, json, sys
from sacred.observers import GoogleCloudStorageObserver
bucket, base, folder = sys.argv[1:4]
observer = GoogleCloudStorageObserver(bucket, base)
now = dt.datetime(2024, 5, 4, 3, 2, 1)
info = {"name": "iris", "base_dir": folder, "sources": [["main.py", "0" * 32]],
        "dependencies": [], "repositories": [], "mainfile": "main.py"}
got = observer.started_event(info, "main", {"hostname": "h"}, now, {"a": 1}, {"c": 2}, None)
metric = {"steps": [0], "values": [1.5], "timestamps": [now]}
observer.log_metrics({"loss": metric}, {})
observer.resource_event(folder + "/main.py")
observer.artifact_event("out.csv", folder + "/main.py")
observer.heartbeat_event({"i": [1, 2]}, "output\\n", now, 3)
observer.completed_event(now, 4)
print(json.dumps([type(got).__name__, observer.basedir, observer.dir]))
"""


@pytest.mark.server
@pytest.mark.skipif(PEER is None, reason="needs Sacred 0.8.7: make servers")
def test_the_same_objects_as_sacreds(gcs_server: Any, tmp_path: Path) -> None:
    """USE-03, GCS-01: the same calls leave the same documents as Sacred 0.8.7's."""
    (tmp_path / "main.py").write_text("print(1)\n")
    environment = {**os.environ, "STORAGE_EMULATOR_HOST": gcs_server.url}
    environment["GOOGLE_CLOUD_PROJECT"] = "test"
    said, found = [], []
    for python in ([str(PEER), "-I"], [sys.executable]):
        bucket = f"test-{uuid.uuid4().hex[:12]}"
        gcs_server.make_bucket(bucket)
        done = subprocess.run(
            [*python, "-W", "ignore", "-c", PROGRAM, bucket, "lab/iris", str(tmp_path)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        said.append(json.loads(done.stdout))
        found.append(
            {
                name: json.loads(content) if name.endswith(".json") else content
                for name, content in gcs_server.objects(bucket, "", all_of=True).items()
            }
        )
    assert found[0] == found[1]
    assert said[0] == said[1]
