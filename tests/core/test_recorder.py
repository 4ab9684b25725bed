"""The recorder: what it writes, and what it does when the disk does not take it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from sacred.core.recordable import recordable
from sacred.core.recorder import Recorder
from sacred.journal.blobs import BlobStore
from sacred.journal.errors import JournalUnavailableError, WriterClosedError
from sacred.journal.events import EventType
from sacred.journal.reader import JournalReader
from sacred.journal.verification import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START: dict[str, Any] = {
    "run_id": 1,
    "name": "n",
    "command": "main",
    "config": {},
    "meta": {},
    "experiment": {},
    "host": {},
}


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder(tmp_path / "root", durability="process")
    made.open()
    yield made
    made.close()


def _events(recorder: Recorder, kind: EventType) -> list[dict[str, Any]]:
    assert recorder.folder is not None
    assert recorder.writer is not None
    recorder.writer.flush()
    events = JournalReader(recorder.folder.journal).read()
    return [event.fields for event in events if event.type == kind]


def test_nothing_is_made_before_it_is_opened(tmp_path: Path) -> None:
    """Drawing the journal's id touches no disk."""
    recorder = Recorder(tmp_path / "root")
    assert 16 == len(recorder.journal_id)
    assert [] == list(tmp_path.iterdir())
    recorder.heartbeat()
    recorder.output(1, b"early")
    recorder.close()
    assert [] == list(tmp_path.iterdir())


def test_the_folder_is_the_preferred_number_if_that_is_free(tmp_path: Path) -> None:
    """R14: the run's id when it is an integer free in the root, else the next free one."""
    recorders = [Recorder(tmp_path / "root", durability="process") for _ in range(3)]
    numbers = [
        recorder.open(preferred).number
        for recorder, preferred in zip(recorders, (900, 900, None), strict=True)
    ]
    for recorder in recorders:
        recorder.close()
    assert [900, 901, 902] == numbers


def test_the_journals_id_is_the_one_that_was_drawn(recorder: Recorder) -> None:
    """R15: views know the run by it before the journal exists."""
    (began,) = _events(recorder, EventType.EPOCH_BEGAN)
    assert int(recorder.journal_id, 16) == began["journal"]


def test_only_changes_of_info_are_written(recorder: Recorder) -> None:
    """info travels as path diffs."""
    info: dict[str, Any] = {"a": 1}
    recorder.started(**_START, info=info)
    recorder.info(info)
    info["b"] = [1]
    recorder.info(info)
    info["b"].append(2)
    del info["a"]
    recorder.info(info)
    recorder.info(info)
    assert [
        {"set": [[["b"], [1]]], "deleted": []},
        {"set": [[["b", 1], 2]], "deleted": [["a"]]},
    ] == _events(recorder, EventType.INFO_CHANGED)


def test_now_and_then_comes_a_snapshot(recorder: Recorder) -> None:
    """A reader may begin at a snapshot."""
    recorder.started(**_START)
    for number in range(130):
        recorder.info({"n": number})
    assert [{"info": {"n": 63}}, {"info": {"n": 127}}] == _events(recorder, EventType.INFO_SNAPSHOT)
    assert 128 == len(_events(recorder, EventType.INFO_CHANGED))


def test_an_intermediate_result_is_written_once(recorder: Recorder) -> None:
    """RUN-09: each new value, not each look."""
    recorder.started(**_START)
    for result in (None, 1, 1, 1.0, float("nan"), float("nan"), 2):
        recorder.result(result)
    results = [fields["result"] for fields in _events(recorder, EventType.RESULT_CHANGED)]
    assert ["1", "1.0", "nan", "2"] == [str(result) for result in results]


def test_a_file_that_is_gone_is_an_error_and_no_event(recorder: Recorder, tmp_path: Path) -> None:
    """The caller hears of a file that is not there."""
    with pytest.raises(FileNotFoundError):
        recorder.artifact("a", str(tmp_path / "none"))
    assert [] == _events(recorder, EventType.ARTIFACT_ADDED)


def test_artifacts_of_one_name_are_counted(recorder: Recorder, tmp_path: Path) -> None:
    """Versions begin at 1, and every content is kept."""
    file = tmp_path / "model.png"
    for content in (b"1", b"2"):
        file.write_bytes(content)
        recorder.artifact("model", str(file))
    first, second = _events(recorder, EventType.ARTIFACT_ADDED)
    assert ([1, 2], "image/png") == (
        [first["version"], second["version"]],
        first["guessed_type"],
    )
    blobs = BlobStore(tmp_path / "root" / "blobs")
    assert [b"1", b"2"] == [blobs.read(e["blob"]["digest"]) for e in (first, second)]


def test_a_content_that_the_disk_does_not_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P6: the event says why, the run goes on, and somebody is told."""
    faults: list[OSError] = []
    recorder = Recorder(tmp_path / "root", durability="process", on_fault=faults.append)
    recorder.open()
    (tmp_path / "a.txt").write_text("a")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(BlobStore, "put_file", refuse)
    recorder.artifact("a", str(tmp_path / "a.txt"))
    recorder.sources([("a.txt", str(tmp_path / "a.txt"), "0cc1")], "a.txt")
    (artifact,) = _events(recorder, EventType.ARTIFACT_ADDED)
    (source,) = _events(recorder, EventType.SOURCE_ADDED)
    recorder.close()
    assert "not stored: No space left on device" == artifact["error"] == source["error"]
    assert "0cc1" == source["md5"]
    assert [28] == [fault.errno for fault in faults]


def test_repositories_are_told_once_and_without_passwords(recorder: Recorder) -> None:
    """ING-12: one entry a repository, not one a file."""
    state = {"url": "https://me:secret@host/x.git", "commit": "ab", "dirty": True}
    recorder.repositories([state, dict(state)])
    (found,) = _events(recorder, EventType.REPOSITORY_FOUND)
    assert ("https://me:***@host/x.git", "ab", True) == (
        found["url"],
        found["commit"],
        found["dirty"],
    )


def test_uncommitted_changes_are_stored(recorder: Recorder, tmp_path: Path) -> None:
    """SRC-04: two working trees of one repository are two, each with its own changes."""
    state = {"url": "u", "commit": "ab", "dirty": True}
    recorder.repositories([{**state, "root": f"/{n}", "diff": n.encode()} for n in "ab"])
    found = _events(recorder, EventType.REPOSITORY_FOUND)
    blobs = BlobStore(tmp_path / "root" / "blobs")
    assert [("/a", b"a"), ("/b", b"b")] == [
        (fields["root"], blobs.read(fields["diff"]["digest"])) for fields in found
    ]


def test_sources_and_packages_are_told_once(recorder: Recorder, tmp_path: Path) -> None:
    """SRC-01, SRC-03: what is found again later is no second event."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(name)
    recorder.keep_main_source("a.py", str(tmp_path / "a.py"))
    recorder.main_source()
    for names in (["a.py"], ["a.py", "b.py"], ["b.py"]):
        recorder.sources([(name, str(tmp_path / name), "") for name in names], "a.py")
        recorder.dependencies([*names, names[0]])
    sources = [fields["filename"] for fields in _events(recorder, EventType.SOURCE_ADDED)]
    assert ["a.py", "b.py"] == sources
    assert [["a.py"], ["b.py"]] == [
        fields["dependencies"] for fields in _events(recorder, EventType.DEPENDENCIES_FOUND)
    ]


@pytest.mark.parametrize(
    "texts",
    [
        ["abc", "abcdef", "abcdef"],
        ["abc", "abX", ""],
        ["", "a", "b"],
        ["progress 10%\r", "progress 20%\r"],
    ],
)
def test_filtered_output_is_a_change_of_the_last_text(recorder: Recorder, texts: list[str]) -> None:
    """OUT-06: the whole text follows from the changes."""
    for text in texts:
        recorder.filtered_output(text)
    rebuilt = ""
    for change in _events(recorder, EventType.OUTPUT_FILTERED):
        rebuilt = rebuilt[: change["keep"]] + change["text"]
    assert texts[-1] == rebuilt


def test_after_the_end_nothing_raises(recorder: Recorder) -> None:
    """A thread that outlives its run records into nothing."""
    recorder.started(**_START)
    recorder.ended("completed", "COMPLETED", 1)
    log_point = recorder.log_point
    recorder.close()
    recorder.heartbeat()
    recorder.output(1, b"late")
    recorder.info({"a": 1})
    recorder.started(run_id=1)  # which is not all that a start needs
    with pytest.raises(WriterClosedError):
        log_point("a", 1, 2.0)  # the run's ``log_scalar`` catches it
    recorder.close()


def test_the_position_is_that_of_a_reader_at_the_end(recorder: Recorder) -> None:
    """What the views are waited for is all that was written."""
    from sacred.journal.position import Position

    recorder.started(**_START)
    recorder.log_point("a", 0, 1.0)
    position = Position.from_wire(recorder.position())
    assert recorder.folder is not None
    reader = JournalReader(recorder.folder.journal)
    list(reader.read())
    assert reader.position == position


def test_usage_is_that_of_the_run(recorder: Recorder) -> None:
    """R25: processor seconds, wall time and the largest memory."""
    recorder.usage()
    (usage,) = _events(recorder, EventType.USAGE)
    assert 0 <= usage["wall"] < 600
    assert usage["peak_memory"] > 1_000_000


def test_what_of_a_value_is_recorded() -> None:
    """CFG-17: code is left out of dicts; the rest stays as it is."""
    thing = object()
    value = {"f": len, "m": os, "c": int, "l": [1, {"g": print}], "t": (1, 2), "o": thing}
    assert {"c": int, "l": [1, {}], "t": (1, 2), "o": thing} == recordable(value)


@pytest.mark.parametrize("seal", [True, False])
def test_the_end_of_a_run_seals_its_journal(tmp_path, seal):
    """SETTINGS.JOURNAL.SEAL: the end seals what it wrote, or leaves it as it is."""
    made = Recorder(tmp_path / "root", durability="process", seal=seal)
    made.open()
    for step in range(100):
        made.log_point("loss", step, 0.5)
    made.close()
    assert made.folder is not None
    (began, *_, last) = JournalReader(made.folder.journal).read()
    assert ("seal" if seal else "start") == began.fields["opened_by"]
    assert (EventType.SEALED if seal else EventType.METRIC_TABLE) == last.type


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_whose_file_vanishes_is_missed(tmp_path):
    """R9: the first writer notes each child once, so that the loss of its whole file is seen."""
    made = Recorder(tmp_path / "root", durability="process")
    made.open()
    pid = os.fork()
    if not pid:
        try:
            made.log_point("loss", 0, 0.5)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    made.heartbeat()
    made.heartbeat()
    made.ended("completed", "COMPLETED")
    made.close()
    assert made.folder is not None
    seen = [e for e in JournalReader(made.folder.journal).read() if e.type == EventType.CHILD_SEEN]
    assert [1] == [event.fields["writer"] for event in seen]
    assert verify(made.folder).clean
    (made.folder.journal / "w0001-e0001.jzst").unlink()
    report = verify(made.folder)
    assert "gap" == report.verdict
    (verdict,) = map(str, report.verdicts)
    assert verdict == (
        "w0001-e0001.jzst: the events from 0 on are lost: "
        "the first writer saw the file, and it is not there"
    )


def test_output_that_can_not_be_moved_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was captured before the run had a folder stays where it is, and a sentence says why."""
    made = Recorder(tmp_path / "root", durability="process")
    made.create_root()
    made.early_spool_path.write_bytes(b"")

    def refuse(_source: Any, _target: Any) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(JournalUnavailableError, match="can not be written in .*/1: Input/out"):
            made.open()
    assert made.early_spool_path.exists()
    made.close()


def test_a_disk_that_does_not_tell_of_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was captured, and the call that would move it fails (P6): the run begins."""
    made = Recorder(tmp_path / "root", durability="process")
    made.create_root()
    real = os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(source).endswith(".spool"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert 1 == made.open().number
    made.close()


def test_a_disk_that_does_not_tell_of_the_runs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P6: at the end of a run nobody can say whether its folder is there: then it is."""
    from sacred.core import run_end
    from sacred.core.experiment import Experiment

    monkeypatch.chdir(tmp_path)
    ex = Experiment("told", save_git_info=False)
    ex.main(lambda: 3)
    real, asked = os.stat, []

    def refuse(path: Any, **more: Any) -> os.stat_result:
        if str(path).endswith("sacred_runs/1"):
            asked.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(run_end.os, "stat", refuse)
        assert "COMPLETED" == ex.run(options={"--capture": "no"}).status
    assert asked
    assert "moved" not in caplog.text
