"""The S3 view on real stores: buckets, large objects, what each refusal means, networks that break."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError
from observers.calls import PEER
from replayers.buckets import PROGRAM, agrees, follow
from servers.objects import MemoryStore

from sacred.journal import EventType
from sacred.replayers.errors import SinkMissingError, TerminalSinkError, TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.objects.store import ABSENT, ObjectConflictError
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.s3 import store as module
from sacred.replayers.sinks.s3.errors import meaning

server = pytest.mark.server


@pytest.fixture
def spec(s3_server, s3_place):
    return SinkSpec.parse(f"s3://{s3_place}/lab")


@pytest.fixture
def store(spec):
    """A store on a bucket that is made by opening it."""
    store = module.S3Store(spec)
    store.open()
    yield store
    store.close()


# -- the store ------------------------------------------------------------------------------------


def test_the_store_of_the_tests():
    """The store in memory does what the real ones do."""
    agrees(MemoryStore())


class _Buckets:
    """A client of a store that answers 500 to whoever is second, while or after a bucket is made."""

    def __init__(self, asking: int) -> None:
        self.meta = SimpleNamespace(region_name=None)
        self.made: list[str] = []
        self.refused = 0
        self._all_ask = threading.Barrier(asking)
        self._asked = threading.local()

    def head_bucket(self, *, Bucket):  # noqa: N803
        if not hasattr(self._asked, "once"):
            self._asked.once = True
            self._all_ask.wait(10)  # nobody found it when everybody looked first
            raise ClientError(_answer(404, "404"), "HeadBucket")
        if Bucket not in self.made:
            raise ClientError(_answer(404, "404"), "HeadBucket")

    def create_bucket(self, *, Bucket):  # noqa: N803
        if Bucket in self.made:
            self.refused += 1
            raise ClientError(_answer(500, "InternalError"), "CreateBucket")
        self.made.append(Bucket)


def _answer(status, code):
    return {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


def _open_at_once(client, monkeypatch, count):
    monkeypatch.setattr(module, "client_for", lambda *_: client)
    spec = SinkSpec.parse("s3://bucket/lab")
    stores = [module.S3Store(spec, probes=False) for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(store.open) for store in stores]:
            done.result(20)


def test_several_threads_that_make_one_bucket(monkeypatch):
    """`--jobs 4` asks for it once: of four that asked at once, a store answered one with 500."""
    client = _Buckets(4)
    _open_at_once(client, monkeypatch, 4)
    assert (["bucket"], 0) == (client.made, client.refused)


def test_several_processes_that_make_one_bucket(monkeypatch):
    """Whoever is refused, however, looks whether it is there by now."""
    client = _Buckets(2)
    monkeypatch.setattr(module, "_FIRST", contextlib.nullcontext())
    refuses = client.create_bucket

    def after_another(*, Bucket):  # noqa: N803
        client.made = client.made or [Bucket]
        refuses(Bucket=Bucket)

    client.create_bucket = after_another
    _open_at_once(client, monkeypatch, 2)
    assert 1 <= client.refused


@server
def test_a_store_with_conditions(store):
    """Reading, putting on condition, listing, deleting; a bucket is made (S3-01)."""
    assert store.has_conditions
    agrees(store)


@server
def test_a_store_without_conditions(simple_s3_server, monkeypatch, caplog):
    """It is noticed, said once, and each put looks first."""
    for name, value in simple_s3_server.environment().items():
        monkeypatch.setenv(name, value)
    bucket = f"test-{uuid.uuid4().hex[:12]}"
    spec = SinkSpec.parse(f"s3://{bucket}/lab?endpoint_url={simple_s3_server.url}")
    with caplog.at_level(logging.WARNING, "sacred.replayers"):
        for _ in range(2):
            store = module.S3Store(spec)
            store.open()
    said = [record.getMessage() for record in caplog.records]
    assert 1 == len([text for text in said if "have one replayer at a time write there" in text])
    assert not store.has_conditions
    agrees(store)
    store.close()


@server
def test_large_objects_go_in_parts(store, tmp_path, monkeypatch):
    """On condition, too; one that is refused leaves nothing."""
    monkeypatch.setattr(module, "_PART", 5 << 20)
    content = os.urandom(11 << 20)
    (tmp_path / "large").write_bytes(content)
    version = store.put("large", tmp_path / "large", ABSENT)
    assert (content, version) == store.get("large")
    with pytest.raises(ObjectConflictError):
        store.put("large", tmp_path / "large", ABSENT)
    store.put("large", tmp_path / "large", version)


@server
def test_listings_of_several_pages(store):
    """A thousand names are one page."""
    for number in range(1100):
        store.put(f"many/{number:04}", b"")
    assert [f"many/{number:04}" for number in range(1100)] == [
        one.key for one in store.list("many/")
    ]


@server
def test_a_path_with_a_slash_at_its_beginning(root, run_writer, s3_place):
    """Sacred's pages show one: also where the store's own names are without it, each run is once there."""
    spec = SinkSpec.parse(f"s3://{s3_place}//project/")
    folder, other = root.claim(), root.claim()
    writer = run_writer(folder, ends=False)
    assert "current" == follow(folder, spec)[0].state
    for step in range(500, 600):
        writer.log_point("loss", step, 0.5)
    writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
    writer.close()
    run_writer(other)
    assert [(1, "current"), (2, "current")] == [
        (status.view_id, status.state)
        for status, _ in (follow(one, spec) for one in (folder, other))
    ]
    store = module.S3Store(spec)
    store.open()
    names = {one.key for one in store.list("/project/")}
    assert {"/project/1/run.json", "/project/2/metrics.json"} <= names
    assert not [name for name in names if name.startswith("/project/3/")]
    steps = json.loads(store.get("/project/1/metrics.json").content)["loss"]["steps"]
    assert 599 == steps[-1] and len(steps) == len(set(steps))


@pytest.mark.parametrize("folds", [True, False])
def test_whether_a_store_keeps_the_slash(monkeypatch, folds):
    """A store that keeps it has two names there: what is below the other one is not listed."""
    store = module.S3Store(SinkSpec.parse("s3://bucket//a"))
    names = {"a/1/run.json": "v1"}

    def listed(prefix, *, folders):
        return iter([module.Listed(key, names[key]) for key in names if key.startswith(prefix)])

    monkeypatch.setattr(store, "_listed", listed)
    monkeypatch.setattr(store, "_version", lambda key: "v1" if folds else ABSENT)
    assert ["/a/1/run.json"] * folds == [one.key for one in store.list("/a/")]
    assert [] == list(store.list("/b/"))
    assert ["a/1/run.json"] == [one.key for one in store.list("a/")]


# -- refusals -------------------------------------------------------------------------------------


@server
def test_wrong_keys(root, run_writer, spec, monkeypatch):
    """The view stops with a sentence that says what to check; no key is in it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something-else-that-is-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("sacred.replayers.sinks.s3.client._clients", {})
    folder = root.claim()
    run_writer(folder)
    status, failure = follow(folder, spec)
    assert ("failed", True) == (status.state, isinstance(failure, TerminalSinkError))
    assert "refuses the keys" in str(status.error)
    assert "something-else" not in str(status.error)


def test_no_keys(root, run_writer, monkeypatch, tmp_path):
    """It is said how to give some."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("sacred.replayers.sinks.s3.client._clients", {})
    folder = root.claim()
    run_writer(folder)
    spec = SinkSpec.parse("s3://bucket/x?endpoint_url=http://127.0.0.1:9&region=us-east-1")
    status, _ = follow(folder, spec)
    assert "failed" == status.state
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run aws configure" in status.error


def test_a_server_that_is_not_there(root, run_writer, monkeypatch):
    """The view is behind, and everything else goes on."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    folder = root.claim()
    run_writer(folder)
    before = {path: path.read_bytes() for path in folder.journal.iterdir()}
    spec = SinkSpec.parse("s3://bucket/x?endpoint_url=http://127.0.0.1:9&region=us-east-1")
    status, failure = follow(folder, spec, patience=0.0)
    assert ("behind", True) == (status.state, isinstance(failure, TransientSinkError))
    assert "does not answer" in status.error
    assert before == {path: path.read_bytes() for path in folder.journal.iterdir()}


def test_a_driver_that_is_not_installed(monkeypatch):
    """USE-12: said when the view is to be written, with what to install."""
    for name in list(sys.modules):
        if name.startswith(("sacred.replayers.sinks.s3", "boto3")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SinkMissingError, match="needs boto3: pip install boto3"):
        load_sink(SinkSpec.parse("s3://bucket/x"))


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("SlowDown", 503, TransientSinkError, "can not write now"),
        ("InternalError", 500, TransientSinkError, "can not write now"),
        ("TooManyRequests", 429, TransientSinkError, "can not write now"),
        ("AccessDenied", 403, TerminalSinkError, "refuses the keys"),
        ("ExpiredToken", 400, TerminalSinkError, "refuses the keys"),
        ("PermanentRedirect", 301, TerminalSinkError, "is in another region"),
        ("RequestTimeTooSkewed", 403, TerminalSinkError, "set its clock"),
        ("BucketAlreadyExists", 409, TerminalSinkError, "Choose another bucket"),
        ("EntityTooLarge", 400, TerminalSinkError, "refused an object"),
        ("XAdminUserNotFound", 404, TerminalSinkError, "refuses the keys"),
        ("", 403, TerminalSinkError, "refuses the keys: status 403"),
        ("", 404, TerminalSinkError, "refused an object: status 404"),
    ],
)
def test_what_an_answer_means(code, status, kind, says):
    """Now, or not at all; one sentence."""
    from botocore.exceptions import ClientError

    answer = {
        "Error": {"Code": code, "Message": "Words of the store." if code else ""},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    found = meaning(ClientError(answer, "PutObject"), "s3:bucket/x", "bucket")
    assert (kind, True) == (type(found), says in str(found))
    assert "\n" not in str(found)


@pytest.mark.parametrize("error", [KeyError("ETag"), RecursionError("maximum recursion depth")])
def test_a_server_of_something_else(error):
    """What boto3 makes of a page of a login, and of one that sends it in a circle: one sentence."""
    found = meaning(error, "s3:bucket/x", "bucket")
    assert isinstance(found, TransientSinkError)
    assert "is no S3 store, but a login or a proxy in between" in str(found)


# -- networks -------------------------------------------------------------------------------------


@server
@pytest.mark.parametrize("size", [500, 2000, 5000, 9000])
def test_a_network_that_is_cut(root, run_writer, spec, s3_server, fault_proxy, size):
    """Wherever the connection ends: the run arrives, nothing twice."""
    proxy = fault_proxy(s3_server.port)
    address = f"http://127.0.0.1:{proxy.port}"
    through = SinkSpec.parse(f"{spec.url}?endpoint_url={address}")
    folder, other = root.claim(), root.claim()
    run_writer(folder)
    run_writer(other)
    proxy.cut_after(size)
    status, _ = follow(folder, through, patience=0.0)
    proxy.heal()
    status, _ = follow(folder, through)
    assert ("current", None) == (status.state, status.error)
    follow(other, spec)
    one, two = (_documents(s3_server, spec, number) for number in (1, 2))
    assert one["metrics.json"]["loss"]["values"] == two["metrics.json"]["loss"]["values"]
    assert one["cout.txt"] == two["cout.txt"]


@server
def test_a_server_that_goes_away(root, run_writer, private_s3, monkeypatch):
    """The view is behind until it is back; then it lacks nothing and has nothing twice."""
    for name, value in private_s3.environment().items():
        monkeypatch.setenv(name, value)
    spec = SinkSpec.parse(f"s3://my-bucket/lab?endpoint_url={private_s3.url}")
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    follower = Follower(folder, load_sink(spec), spec)
    try:
        assert "current" == follower.run_once(patience=100.0).state
        private_s3.stop()
        for step in range(50, 60):
            writer.log_point("loss", step, 1.0)
        writer.flush()
        assert "behind" == follower.run_once().state
        assert "does not answer" in follower.status.error
        private_s3.start()
        assert "current" == follower.run_once(patience=100.0).state
    finally:
        follower.close()
        writer.close()
    found = _documents(private_s3, spec, 1)["metrics.json"]
    assert list(range(60)) == found["loss"]["steps"]


@server
def test_a_server_that_comes_back_older(root, run_writer, private_s3, monkeypatch):
    """What it lost is written again, also if that is all."""
    import shutil

    for name, value in private_s3.environment().items():
        monkeypatch.setenv(name, value)
    spec = SinkSpec.parse(f"s3://my-bucket/lab?endpoint_url={private_s3.url}")
    folder = root.claim()
    writer = run_writer(folder, ends=False)
    follower = Follower(folder, load_sink(spec), spec)
    try:
        assert "current" == follower.run_once(patience=100.0).state
        private_s3.stop()
        writer.append_output(1, b"one more line\n")
        writer.flush()
        assert "behind" == follower.run_once().state
        shutil.rmtree(private_s3.folder / "data")
        private_s3.start()
        status = follower.run_once(patience=100.0)
        assert ("current", 1) == (status.state, status.view_id), status.error
    finally:
        follower.close()
        writer.close()
    found = _documents(private_s3, spec, 1)
    ((_, source),) = found["run.json"]["experiment"]["sources"]
    assert private_s3.client().head_object(Bucket="my-bucket", Key=f"lab/{source}")
    assert list(range(50)) == found["metrics.json"]["loss"]["steps"]
    assert "one more line" in found["cout.txt"]


def _documents(s3_server, spec, view_id):
    bucket, _, base = spec.url.removeprefix("s3://").partition("/")
    client = s3_server.client()
    found = {}
    for one in client.list_objects_v2(Bucket=bucket, Prefix=f"{base}/{view_id}/")["Contents"]:
        name = one["Key"].removeprefix(f"{base}/{view_id}/")
        if not name.startswith(".journal"):
            text = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read().decode()
            found[name] = json.loads(text) if name.endswith(".json") else text
    return found


# -- whole programs -------------------------------------------------------------------------------


def _program(folder, *words, **environment):
    (folder / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "program.py", *words],
        cwd=folder,
        # On a busy machine a replayer may take longer than the ten seconds that a run waits.
        env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "120", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@server
@pytest.mark.usefixtures("patient_claims")
def test_a_program_with_the_option(s3_server, s3_place, tmp_path):
    """CLI-10, S3-02, OBS-03: ``-S`` writes the run, under ids of the bucket's own."""
    for number in (1, 2):
        assert (0, "Hello world!\n") == _program(tmp_path, "-S", f"s3://{s3_place}/lab/iris")[:2]
        documents = _documents(
            s3_server, SinkSpec("s3", f"s3://{s3_place}/lab/iris", {}, ""), number
        )
        assert {"run.json", "config.json", "cout.txt", "info.json", "metrics.json", "out.csv"} == (
            set(documents)
        )
        run = documents["run.json"]
        assert ("COMPLETED", 42, ["out.csv"]) == (run["status"], run["result"], run["artifacts"])
        assert "Hello world!\n" in documents["cout.txt"]
        assert list(range(20)) == documents["metrics.json"]["loss"]["steps"]
        ((name, place),) = run["experiment"]["sources"]
        assert ("program.py", True) == (name, place.startswith("_sources/program_"))


@server
@pytest.mark.skipif(PEER is None, reason="needs Sacred 0.8.7: make servers")
@pytest.mark.usefixtures("patient_claims")
def test_sacred_writes_beside(s3_server, s3_place, tmp_path):
    """S3-02: Sacred's observer takes the next id, ours the one after that, and nothing is touched."""
    words = ("-S", f"s3://{s3_place}/lab/iris")
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n")
    assert 0 == _program(tmp_path, *words)[0]
    before = _documents(s3_server, SinkSpec("s3", f"s3://{s3_place}/lab/iris", {}, ""), 1)
    done = subprocess.run(
        [str(PEER), "-I", "-W", "ignore", "program.py", *words],
        cwd=tmp_path,
        env={**os.environ, "AWS_CONFIG_FILE": str(tmp_path / "config")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert 0 == _program(tmp_path, *words)[0]
    found = [
        _documents(s3_server, SinkSpec("s3", f"s3://{s3_place}/lab/iris", {}, ""), number)
        for number in (1, 2, 3)
    ]
    assert before == found[0]
    assert ["COMPLETED"] * 3 == [one["run.json"]["status"] for one in found]
    theirs, ours = found[1], found[2]
    assert theirs["config.json"].keys() == ours["config.json"].keys()
    assert theirs["run.json"].keys() <= ours["run.json"].keys()


@pytest.mark.parametrize(("size", "asks"), [(0, False), (1000, False), (3 << 20, True)])
def test_a_small_object_is_sent_at_once(monkeypatch, size, asks):
    """B9: only before a large object the store is asked whether it may come, a round trip more."""
    from sacred.replayers.sinks.s3 import client

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    made = client.client_for(f"http://127.0.0.1:9/{size}", "us-east-1")
    asked = []

    def sent(request, **_):
        asked.append("Expect" in request.headers)
        raise ConnectionError("enough is known")

    made.meta.events.register("before-send.s3.PutObject", sent)
    with pytest.raises(Exception, match="enough is known"):
        made.put_object(Bucket="bucket", Key="k", Body=bytes(size))
    assert asked == [asks]
