"""Random runs: what may happen in one, in any order, and when a replayer looks.

A history is plain data, so that hypothesis can make one smaller that shows the same defect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sacred.journal.blobs import BlobStore
from sacred.journal.events import EventType
from sacred.journal.writer import JournalWriter
from sacred.replayers.contract.folded import canonical
from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.contract.runs import BEGAN
from sacred.replayers.copy_follower import follower_for
from sacred.replayers.errors import TransientSinkError
from sacred.replayers.follower import Follower
from sacred.replayers.registry import load_sink
from sacred.replayers.sinks.chaos import ChaosSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.sink import SinkSpec

__all__ = ["History", "HistoryContract", "Told", "histories"]

#: Names that some place has a meaning of its own for.
METRICS = (
    *("loss", "Loss", "loss ", "a.b", "$x", "$a.b", "", " ", "a/b", "..", "\u00e9", "e\u0301"),
    *("\U0001f600", "a\0b", "x" * 300, "_id", "%s", "'; --", "{}", "null"),
)
KEYS = ("a", "A", "a.b", "$x", "$", ".", "", "_id", "\u00e9", "\U0001f600", "x" * 300, "1")

_numbers = st.one_of(
    st.integers(-(1 << 70), 1 << 70), st.floats(), st.sampled_from([0, 1, -0.0, 1 << 53, 1 << 63])
)
_atoms = st.one_of(st.none(), st.booleans(), _numbers, st.text(max_size=8))
_values = st.recursive(
    _atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
    ),
    max_leaves=6,
)
_contents = st.sampled_from([b"", b"one", b"two\n", b"\xff\0"])


class Told(NamedTuple):
    """One thing that happens in a history.

    Attributes
    ----------
    what
        ``point``, ``output``, ``info``, ``result``, ``heartbeat``, ``filtered``, ``facts``, ``source``,
        ``resource``, ``artifact``, ``flush`` (a frame ends), ``look`` (a replayer brings the view up
        to date), ``fail`` (and one of its calls fails), ``anew`` (another replayer comes),
        ``tag`` (a person's, or none any more), ``worker`` (a point of another process), ``again`` (the run ends, and is gone on with).
    given
        What else is to be said of it.
    """

    what: str
    given: tuple[Any, ...] = ()


class History(NamedTuple):
    """A run.

    Attributes
    ----------
    config
        Its configuration.
    told
        What happens.
    how, status
        How it ends.
    """

    config: dict[str, Any]
    told: tuple[Told, ...]
    how: str
    status: str


def _told(what: str, *given: st.SearchStrategy[Any]) -> st.SearchStrategy[Told]:
    return st.builds(Told, st.just(what), st.tuples(*given))


_file_names = st.sampled_from(["a.txt", "b.txt", "sub/c.bin", "\u00e9 \u00fc.csv"])
_points = _told("point", st.sampled_from(METRICS), _numbers, st.one_of(_numbers, _values))
_looks = st.one_of(
    _told("look"),
    _told("fail", st.integers(0, 6), st.sampled_from(["before", "after"])),
    _told("anew"),
)
_steps = st.one_of(
    _points,
    _told(
        "output",
        st.one_of(st.text(max_size=9).map(str.encode), st.sampled_from([b"\xc3", b"\xa4"])),
    ),
    _told("info", st.sampled_from(KEYS), _values),
    _told("result", _values),
    _told("heartbeat"),
    _told("filtered", st.integers(0, 5), st.text(max_size=5)),
    _told("facts", _values),
    _told(
        "source",
        st.sampled_from(["main.py", "pkg/part.py", "part.py"]),
        st.sampled_from([b"", b"x = 1\n"]),
    ),
    _told("resource", st.sampled_from(["/data/one.csv", "/data/two.csv"]), _contents),
    _told("artifact", _file_names, _contents),
    _told("worker", st.sampled_from(METRICS[:4]), _numbers, _numbers),
    _told("tag", st.sampled_from(["add", "remove"]), st.sampled_from(["good", "\u00e9", ""])),
    _told("again"),
    _told("flush"),
    _looks,
)
_endings = st.sampled_from(
    [("completed", "COMPLETED"), ("failed", "FAILED"), ("interrupted", "INTERRUPTED")]
)


def histories() -> st.SearchStrategy[History]:
    """Return a strategy for runs."""
    return st.builds(
        lambda config, told, ending: History(config, tuple(told), *ending),
        st.dictionaries(st.sampled_from(KEYS), _values, max_size=4),
        st.lists(_steps, max_size=24),
        _endings,
    )


class _Teller:
    """Writes a history into a run's folder, and has replayers look."""

    def __init__(self, folder: RunFolder, spec: SinkSpec, history: History) -> None:
        self.folder, self.spec = folder, spec
        self.blobs = BlobStore(folder.root.blobs, durable=False)
        self.writer = JournalWriter.create(folder.journal, durability="process", blobs=self.blobs)
        self.worker: JournalWriter | None = None
        self.follower: Follower | None = None
        self.now = BEGAN
        #: How often each artifact was stored.
        self._versions: dict[str, int] = {}
        self.say(
            EventType.RUN_STARTED,
            run_id=folder.number,
            name="history",
            command="main",
            config=history.config,
            meta={"comment": "\u00e4", "priority": 3},
            experiment={"name": "history", "base_dir": "/base", "mainfile": "main.py"},
            host={"hostname": "host"},
        )

    def say(self, kind: EventType, **fields: Any) -> None:
        """Write an event, a millisecond after the last one."""
        self.now += 1_000_000
        self.writer.append(kind, time_ns=self.now, **fields)

    def tell(self, told: Told) -> None:
        """Write, or do, what a step says."""
        getattr(self, f"_{told.what}")(*told.given)

    def _point(self, metric: str, step: Any, value: Any) -> None:
        self.say(EventType.METRIC_POINT, metric=metric, step=step, value=value)

    def _output(self, data: bytes) -> None:
        self.say(EventType.OUTPUT, stream=1, data=data)

    def _info(self, key: str, value: Any) -> None:
        self.say(EventType.INFO_CHANGED, set=[[[key], value]], deleted=[])

    def _result(self, value: Any) -> None:
        self.say(EventType.RESULT_CHANGED, result=value)

    def _heartbeat(self) -> None:
        self.say(EventType.HEARTBEAT)

    def _tag(self, action: str, text: str) -> None:
        self.say(EventType.ANNOTATED, what="tag", action=action, value=text)

    def _filtered(self, keep: int, text: str) -> None:
        self.say(EventType.OUTPUT_FILTERED, keep=keep, text=text)

    def _facts(self, value: Any) -> None:
        self.say(EventType.HOST_FACTS, facts={"fact": value})

    def _source(self, name: str, content: bytes) -> None:
        self._file(EventType.SOURCE_ADDED, content, filename=name, path=f"/base/{name}")

    def _resource(self, name: str, content: bytes) -> None:
        self._file(EventType.RESOURCE_ADDED, content, filename=name)

    def _artifact(self, name: str, content: bytes) -> None:
        version = self._versions[name] = self._versions.get(name, 0) + 1
        about = {"name": name, "filename": f"/base/{name}", "version": version}
        self._file(EventType.ARTIFACT_ADDED, content, **about)

    def _file(self, kind: EventType, content: bytes, **fields: Any) -> None:
        stored = self.blobs.put_bytes(content)
        self.say(kind, blob=stored.blob.to_wire(), md5=stored.md5, **fields)

    def _worker(self, metric: str, step: Any, value: Any) -> None:
        if self.worker is None:
            self.writer.flush()
            journal_id = self.writer.journal_id
            self.worker = JournalWriter.join(self.folder.journal, journal_id=journal_id)
        self.now += 1_000_000
        point = {"metric": metric, "step": step, "value": value}
        self.worker.append(EventType.METRIC_POINT, time_ns=self.now, **point)

    def _again(self) -> None:
        trace = ["Traceback\n", "  line\n", "ValueError: \u00e4\n"]
        self.say(EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=trace)
        self.say(EventType.RUN_RESUMED)

    def _flush(self) -> None:
        self.writer.flush()

    def _look(self) -> None:
        self._run(())

    def _fail(self, call: int, how: str) -> None:
        self._anew()
        self._run([*["ok"] * call, how])

    def _anew(self) -> None:
        if self.follower is not None:
            self.follower.close()
            self.follower = None

    def _run(self, plan: Any) -> None:
        self.writer.flush()
        if self.follower is None:
            # Without waiting: it is asked again at once.
            error = TransientSinkError("chaos: the server went away")
            self.chaos = ChaosSink(load_sink(self.spec), plan, error)
            self.follower = follower_for(self.folder, self.chaos, self.spec)
        failures = self.chaos.failures
        status = self.follower.run_once()
        assert status.state == "current" or self.chaos.failures > failures, status.error

    def end(self, history: History) -> Any:
        """End the run and bring it into the view; return its id there."""
        self.say(EventType.RUN_ENDED, how=history.how, status=history.status, result=0.5)
        for writer in (self.worker, self.writer):
            if writer is not None:
                writer.close()
        self._run(())
        self._run(())  # a failure that was still to come came with the first
        follower = self.follower
        assert follower is not None
        assert (follower.status.state, follower.status.error) == ("current", None)
        return follower.status.view_id

    def close(self) -> None:
        """End what is open."""
        self._anew()
        for writer in (self.worker, self.writer):
            if writer is not None:
                writer.close()


class HistoryContract(SinkPlace):
    """A view equals the fold of the journal, whatever happened in the run.

    Attributes
    ----------
    histories
        How many runs are made up in a round; each is another run of the same place.
    """

    histories = 25

    def test_any_history(
        self, spec: SinkSpec, root: JournalRoot, record_property: Callable[[str, object], None]
    ) -> None:
        """What is written while the run goes on, by replayers that fail, is what its fold says."""
        count = 0

        def check(history: History) -> None:
            nonlocal count
            count += 1
            folder = root.claim()
            teller = _Teller(folder, spec, history)
            try:
                for told in history.told:
                    teller.tell(told)
                view_id = teller.end(history)
            finally:
                teller.close()
            self.check(folder, spec, view_id)
            before = self.content(spec, view_id)
            assert self.follow(folder, spec, rebuild=True).view_id == view_id
            self.check(folder, spec, view_id)
            assert canonical(before) == canonical(self.content(spec, view_id))

        for number in self.rounds():
            chosen = settings(
                max_examples=self.histories,
                deadline=None,
                database=None,
                derandomize=not number,
                report_multiple_bugs=False,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            )
            chosen(given(histories())(check))()
        record_property("battery", ("histories made up and compared with their views", count))
