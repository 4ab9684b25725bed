"""The Google Cloud Storage view on a stand-in of it, and what each refusal means."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from replayers.buckets import PROGRAM, agrees, follow
from servers.web import HttpServer, Reply

from sacred.replayers.errors import (
    SinkError,
    SinkMissingError,
    SinkSpecError,
    TerminalSinkError,
    TransientSinkError,
)
from sacred.replayers.registry import load_sink
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.gcs.errors import meaning
from sacred.replayers.sinks.gcs.pace import Pace
from sacred.replayers.sinks.gcs.store import GcsStore

server = pytest.mark.server


@server
def test_the_store(gcs_place):
    """Reading, putting on condition, listing, deleting."""
    store = GcsStore(SinkSpec.parse(f"gs://{gcs_place}/lab"))
    store.open()
    agrees(store)
    store.close()


@server
def test_a_bucket_that_is_not_there(root, run_writer, gcs_place):
    """GCS-01: it is not made; the sentence says how."""
    folder = root.claim()
    run_writer(folder)
    status, failure = follow(folder, SinkSpec.parse(f"gs://{gcs_place}-not/lab"))
    assert ("failed", True) == (status.state, isinstance(failure, TerminalSinkError))
    assert f"there is no bucket {gcs_place}-not: make it first" in status.error


def test_no_credentials(root, run_writer, monkeypatch, tmp_path):
    """GCS-01: said where the view is to be written; the run is in its journal."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    folder = root.claim()
    run_writer(folder)
    status, _ = follow(folder, SinkSpec.parse("gs://bucket/lab"))
    assert "failed" == status.state
    assert "let GOOGLE_APPLICATION_CREDENTIALS name a file of them" in status.error


def test_a_server_that_is_not_there(root, run_writer, monkeypatch):
    """The view is behind."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    folder = root.claim()
    run_writer(folder)
    status, failure = follow(folder, SinkSpec.parse("gs://bucket/lab"), patience=0.0)
    assert ("behind", True) == (status.state, isinstance(failure, TransientSinkError))
    assert "does not answer" in status.error


def test_a_driver_that_is_not_installed(monkeypatch):
    """USE-12: said when the view is to be written, with what to install."""
    for name in list(sys.modules):
        if name.startswith(("sacred.replayers.sinks.gcs", "google.cloud.storage")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.cloud.storage", None)
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    with pytest.raises(SinkMissingError, match="pip install google-cloud-storage"):
        load_sink(SinkSpec.parse("gs://bucket/x"))


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("ServiceUnavailable", TransientSinkError, "can not write now"),
        ("TooManyRequests", TransientSinkError, "can not write now"),
        ("InternalServerError", TransientSinkError, "can not write now"),
        ("Forbidden", TerminalSinkError, "refuses the credentials"),
        ("Unauthorized", TerminalSinkError, "refuses the credentials"),
        ("BadRequest", TerminalSinkError, "refused an object"),
    ],
)
def test_what_an_answer_means(name, kind, says):
    """Now, or not at all; one sentence."""
    from google.api_core import exceptions

    found = meaning(getattr(exceptions, name)("Words of the store."), "gcs:bucket/x", "bucket")
    assert (kind, True) == (type(found), says in str(found))


def test_a_server_of_something_else(monkeypatch):
    """A login in between answers: one sentence, which has no page in it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for status, says in (
        (200, "is not Google Cloud Storage, but a login or a proxy in between"),
        (400, "refused an object: status 400, with a web page"),
        (403, "refuses the credentials: status 403, with a web page. They have"),
    ):
        with HttpServer(Reply(status, "<html><body>log in</body></html>")) as server:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
            assert says in _refusal()


def test_a_server_that_is_not_there(monkeypatch):
    """The sentence has the server and what the system says, and not the address of the request."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert "gcs:bucket/x does not answer: 127.0.0.1:1: Connection refused" == _refusal()


def _refusal():
    sink = load_sink(SinkSpec.parse("gs://bucket/x?project=p"))
    try:
        with pytest.raises(SinkError) as caught:
            sink.open()
        return str(caught.value)
    finally:
        sink.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gs:", "a bucket is missing: write --to gs://BUCKET/PATH"),
        ("gs://google-x/y", "is no name of a bucket"),
        ("gs://bucket/x?projekt=y", r"has no option 'projekt': did you mean project\?"),
    ],
)
def test_addresses_that_are_none(text, says):
    """GCS-01: one sentence, exit 2."""
    with pytest.raises(SinkSpecError, match=says):
        SinkSpec.parse(text)


# -- networks, and what Google bears ---------------------------------------------------------------


def _documents(gcs_server, place, number):
    base = f"lab/{number}/"
    found = gcs_server.objects(place, base)
    return {name[len(base) :]: content for name, content in found.items()}


@server
@pytest.mark.parametrize("size", [500, 2000, 5000, 9000])
def test_a_network_that_is_cut(
    root, run_writer, gcs_server, gcs_place, fault_proxy, monkeypatch, size
):
    """Wherever the connection ends: the run arrives, nothing twice."""
    proxy = fault_proxy(gcs_server.port)
    spec = SinkSpec.parse(f"gs://{gcs_place}/lab")
    folder, other = root.claim(), root.claim()
    run_writer(folder)
    run_writer(other)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
    proxy.cut_after(size)
    status, _ = follow(folder, spec, patience=0.0)
    assert "behind" == status.state
    assert "does not answer" in status.error
    proxy.heal()
    status, _ = follow(folder, spec)
    assert ("current", None) == (status.state, status.error)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    follow(other, spec)
    one, two = (_documents(gcs_server, gcs_place, number) for number in (1, 2))
    assert json.loads(one["metrics.json"])["loss"]["values"] == list(
        json.loads(two["metrics.json"])["loss"]["values"]
    )
    assert one["cout.txt"] == two["cout.txt"]
    assert sorted(one) == sorted(two)


class _Clock:
    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_one_object_is_written_once_a_second():
    """A burst of three passes; from then on writes of one object wait, and those of others do not."""
    clock = _Clock()
    pace = Pace("gcs:b", clock, clock.sleep)
    for _ in range(3):
        pace.wait("position.json")
    assert [] == clock.slept
    for _ in range(5):
        pace.wait("position.json")
        pace.wait("other.json") if clock.now == 101 else None
    assert [1.0] * 5 == clock.slept
    clock.now += 60
    pace.wait("position.json")
    assert 5 == len(clock.slept)


def test_a_bucket_that_asks_for_patience():
    """A 429 is kept to: as long as it says, a second if it does not say, not for ever."""
    clock = _Clock()
    pace = Pace("gcs:b", clock, clock.sleep)
    for said, seconds in ((7.0, 7), (None, 1), (1e9, 600)):
        pace.refused(said)
        for call in (pace.check, lambda: pace.wait("x")):
            with pytest.raises(TransientSinkError, match="asked for patience"):
                call()
        clock.now += seconds
        pace.check()


def test_retry_after_of_a_store(monkeypatch):
    """The driver's 429 is transient, and its header is what the bucket is left alone for."""
    with HttpServer(Reply(429, "slow down", (("Retry-After", "3600"),))) as stand_in:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", stand_in.url)
        store = GcsStore(SinkSpec.parse("gs://patient-bucket/lab"))
        with pytest.raises(TransientSinkError, match="can not write now"):
            store.open()
        asked = len(stand_in.requests)
        for _ in range(2):
            with pytest.raises(TransientSinkError, match="asked for patience"):
                GcsStore(SinkSpec.parse("gs://patient-bucket/other")).open()
        assert asked == len(stand_in.requests)
        store.close()


@server
@pytest.mark.usefixtures("patient_claims")
def test_a_program_with_the_option(gcs_server, gcs_place, tmp_path):
    """CLI-10, GCS-01, OBS-03: ``-G`` writes the run, under ids of the bucket's own."""
    (tmp_path / "program.py").write_text(PROGRAM)
    for number in (1, 2):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "program.py", "-G", f"gs://{gcs_place}/lab/iris"],
            cwd=tmp_path,
            env={**os.environ, "SACRED_JOURNAL_VIEW_WAIT": "120"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (0, "Hello world!\n") == (done.returncode, done.stdout), done.stderr
        found = gcs_server.objects(gcs_place, f"lab/iris/{number}/")
        run = json.loads(found[f"lab/iris/{number}/run.json"])
        assert ("COMPLETED", 42, ["out.csv"]) == (run["status"], run["result"], run["artifacts"])
        assert b"1,2" == found[f"lab/iris/{number}/out.csv"]
