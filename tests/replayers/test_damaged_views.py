"""A view's own files are damaged: the run is written anew under its id, or it is said what to do."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from replayers import places

from sacred.journal.events import EventType
from sacred.journal.root import JournalRoot
from sacred.replayers.contract import write_run
from sacred.replayers.replay import ReplaySummary, replay
from sacred.replayers.sink import SinkSpec
from sacred.replayers.sinks.parquet import orphans


def _other(path: Path) -> None:
    path.write_text('{"journal_id": ["of another form"]}')


#: What becomes of a file on bad disks, in bad copies, by bad hands.
DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a list": lambda path: path.write_text("[]"),
    "other": _other,
}


def _root(tmp_path: Path) -> JournalRoot:
    root = JournalRoot(tmp_path / "runs")
    for _ in range(3):
        write_run(root.claim())
    return root


def _states(summary: ReplaySummary) -> list[str]:
    return [outcome.state for outcome in summary.outcomes]


class TestFiles(places.FilePlace):
    """The file tree."""

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("how", [*DAMAGES, "gone"])
    def test_a_position(self, tmp_path: Path, spec: SinkSpec, how: str, rebuild: bool) -> None:
        """Whatever became of it: the run is written anew under its id, which is said, and once."""
        root = _root(tmp_path)
        assert replay(root, None, [spec]).exit_code == 0
        before = self.document(spec, 2)
        path = Path(spec.url) / "2" / ".journal" / "position.json"
        if how == "gone":
            path.unlink()
        else:
            DAMAGES[how](path)
        (path.parent.parent / "metrics.json").unlink()
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert [2] == [one.run for one in summary.outcomes if one.mended]
        assert "position.json" in (summary.outcomes[1].mended or "")
        assert [1, 2, 3] == [one.view_id for one in summary.outcomes]
        assert self.document(spec, 2) == before
        assert (
            {"1", "2", "3", "_sources"}
            <= set(os.listdir(spec.url))
            <= {*("1", "2", "3", "_sources", "_resources")}
        )
        again = replay(root, None, [spec])
        assert not any(one.mended for one in again.outcomes)

    def test_a_position_that_was_written_elsewhere(self, tmp_path: Path, spec: SinkSpec) -> None:
        """A machine without any note finds the folder, too: by its name where the id is another."""
        root = _root(tmp_path)
        base = Path(spec.url)
        base.mkdir()
        self.place_foreign_run(spec, 1)
        assert [2, 3, 4] == [one.view_id for one in replay(root, None, [spec]).outcomes]
        os.truncate(base / "2" / ".journal" / "position.json", 7)
        shutil.rmtree(root.path / "1" / "views")
        shutil.rmtree(root.path / ".cache")
        assert [2, 3, 4] == [one.view_id for one in replay(root, None, [spec]).outcomes]
        assert not (base / "5").exists()

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_a_position_of_an_earlier_version(
        self, tmp_path: Path, spec: SinkSpec, rebuild: bool
    ) -> None:
        """Nothing else says whose the folder is: a sentence says what to do, and nothing is doubled."""
        root = _root(tmp_path)
        replay(root, None, [spec])
        own = Path(spec.url) / "2" / ".journal"
        for name in own.glob("of-*"):
            name.unlink()
        os.truncate(own / "position.json", 3)
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert _states(summary) == ["current", "failed", "current"]
        assert "move the folder away" in (summary.outcomes[1].error or "")
        assert summary.exit_code == 1
        assert not (Path(spec.url) / "4").exists()
        shutil.rmtree(own.parent)
        assert replay(root, [2], [spec], rebuild=True).outcomes[0].view_id == 2

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("notes", [True, False])
    def test_a_copy_without_hidden_files(
        self, tmp_path: Path, spec: SinkSpec, rebuild: bool, notes: bool
    ) -> None:
        """Only when it began says whose a folder is: refused with what to do, and nothing doubled."""
        root = _root(tmp_path)
        replay(root, None, [spec])
        shutil.rmtree(Path(spec.url) / "2" / ".journal")
        if not notes:  # on another machine
            shutil.rmtree(root.path / "2" / "views")
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert _states(summary) == ["current", "failed", "current"]
        assert "copied without hidden files" in (summary.outcomes[1].error or "")
        assert not (Path(spec.url) / "4").exists()
        shutil.rmtree(Path(spec.url) / "2")
        assert replay(root, [2], [spec], rebuild=True).outcomes[0].view_id == 2

    def test_a_folder_of_another_program(self, tmp_path: Path, spec: SinkSpec) -> None:
        """A run that was deleted, and whose number another program took since, stays deleted."""
        root = _root(tmp_path)
        replay(root, None, [spec])
        shutil.rmtree(Path(spec.url) / "2")
        self.place_foreign_run(spec, 2)
        assert _states(replay(root, None, [spec])) == ["current", "deleted", "current"]
        summary = replay(root, None, [spec], rebuild=True)
        assert [1, 4, 3] == [one.view_id for one in summary.outcomes]

    @pytest.mark.parametrize("name", ["cout.txt", ".journal/points"])
    @pytest.mark.parametrize("how", ["emptied", "cut"])
    def test_a_file_that_grows(self, tmp_path: Path, spec: SinkSpec, name: str, how: str) -> None:
        """One that is shorter than it was is not added to: the run is written anew."""
        root = JournalRoot(tmp_path / "runs")
        folder = root.claim()
        writer = write_run(folder, ends=False)
        replay(root, None, [spec])
        DAMAGES[how](Path(spec.url) / "1" / name)
        writer.log_point("loss", 50, 1.0)
        writer.append_output(1, b"more\n")
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        summary = replay(root, None, [spec])
        assert name in (summary.outcomes[0].mended or "")
        self.check(folder, spec, 1)

    def test_points_that_are_no_points(self, tmp_path: Path, spec: SinkSpec) -> None:
        """Points that can not be read are written anew."""
        root = JournalRoot(tmp_path / "runs")
        folder = root.claim()
        writer = write_run(folder, ends=False)
        replay(root, None, [spec])
        path = Path(spec.url) / "1" / ".journal" / "points"
        path.write_bytes(b"\xc1" * path.stat().st_size)
        writer.log_point("loss", 50, 1.0)
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        assert "points" in (replay(root, None, [spec]).outcomes[0].mended or "")
        self.check(folder, spec, 1)


class TestObjects(places.ObjectPlace):
    """The tree as objects."""

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("key", ["position", "index"])
    @pytest.mark.parametrize("content", [b"", b'{"view', b"[]", b'{"journal_id": 1}'])
    def test_a_position(
        self, tmp_path: Path, spec: SinkSpec, content: bytes, key: str, rebuild: bool
    ) -> None:
        """One of the position and the index is damaged: the other says which run it is."""
        root = _root(tmp_path)
        self.place_foreign_run(spec, 1)
        assert [2, 3, 4] == [one.view_id for one in replay(root, None, [spec]).outcomes]
        before = self.document(spec, 2)
        if key == "position":
            name = "path/to/runs/2/.journal/position.json"
        else:
            names = [one for one in self.store.objects if ".journal/runs/" in one]
            (name,) = (one for one in names if b"2" in self.store.objects[one].content)
        assert name in self.store.objects
        self.store.put(name, content)
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert [2, 3, 4] == [one.view_id for one in summary.outcomes]
        assert (key == "position") == bool(summary.outcomes[0].mended)
        assert self.document(spec, 2) == before
        assert self.document(spec, 5) is None
        assert not any(one.mended for one in replay(root, None, [spec]).outcomes)

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("notes", [True, False])
    @pytest.mark.parametrize("points", [0, 5])
    def test_a_position_that_is_gone(
        self, tmp_path: Path, spec: SinkSpec, points: int, notes: bool, rebuild: bool
    ) -> None:
        """The index says which run it was, its points or its start that it still is: written anew."""
        root = JournalRoot(tmp_path / "runs")
        for _ in range(3):
            write_run(root.claim(), points=points)
        replay(root, None, [spec])
        before = self.document(spec, 2)
        self.store.delete("path/to/runs/2/.journal/position.json")
        if not notes:  # on another machine
            shutil.rmtree(root.path / "2" / "views")
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert [1, 2, 3] == [one.view_id for one in summary.outcomes]
        assert "position.json was missing" in (summary.outcomes[1].mended or "")
        assert self.document(spec, 2) == before
        assert self.document(spec, 4) is None
        assert not any(one.mended for one in replay(root, None, [spec]).outcomes)

    def test_objects_of_another_program(self, tmp_path: Path, spec: SinkSpec) -> None:
        """A run that was deleted, and whose number another program took since, is left alone."""
        root = _root(tmp_path)
        replay(root, None, [spec])
        self.delete_run(spec, 2)
        self.place_foreign_run(spec, 2)
        foreign = self.document(spec, 2)
        replay(root, None, [spec])
        summary = replay(root, None, [spec], rebuild=True)
        assert [1, 4, 3] == [one.view_id for one in summary.outcomes]
        assert self.document(spec, 2) == foreign

    def test_points(self, tmp_path: Path, spec: SinkSpec) -> None:
        """Points that are gone, or no points, are written anew."""
        root = JournalRoot(tmp_path / "runs")
        folder = root.claim()
        writer = write_run(folder, ends=False)
        replay(root, None, [spec])
        for step, damage in ((50, "gone"), (51, "none")):
            for name in [one for one in self.store.objects if "/.journal/points/" in one]:
                if damage == "gone":
                    self.store.delete(name)
                else:
                    self.store.put(name, b"\xc1")
            writer.log_point("loss", step, 1.0)
            writer.flush()
            assert "points" in (replay(root, None, [spec]).outcomes[0].mended or "")
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=1)
        writer.close()
        replay(root, None, [spec])
        self.check(folder, spec, 1)


class TestParquet(places.ParquetPlace):
    """The tables."""

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("how", DAMAGES)
    def test_a_position(self, tmp_path: Path, spec: SinkSpec, how: str, rebuild: bool) -> None:
        """The run is written anew under its number, which is said; no row stands twice."""
        root = _root(tmp_path)
        assert replay(root, None, [spec]).exit_code == 0
        before = self.document(spec, 2)
        ids = Path(spec.url) / ".journal" / "ids"
        path = ids.parent / (ids / "2").read_text() / "position.json"
        DAMAGES[how](path)
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert [1, 2, 3] == [one.view_id for one in summary.outcomes]
        assert "position.json" in (summary.outcomes[1].mended or "")
        assert self.document(spec, 2) == before
        assert self.document(spec, 4) is None
        assert not any(one.mended for one in replay(root, None, [spec]).outcomes)

    @pytest.mark.parametrize("size", [0, 3, 100])
    def test_a_table_that_is_cut(self, tmp_path: Path, spec: SinkSpec, size: int) -> None:
        """Any file of the tree, the tables' columns too: every query would end in an error."""
        root = _root(tmp_path)
        assert replay(root, None, [spec]).exit_code == 0
        before = [self.document(spec, number) for number in (1, 2, 3)]
        files = sorted(Path(spec.url).glob("[a-z]*/*/run=[02]/*.parquet"))
        assert len(files) > 10
        for path in files:
            os.truncate(path, size)
            assert replay(root, None, [spec]).exit_code == 0
            assert [self.document(spec, number) for number in (1, 2, 3)] == before, path

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_position_and_number(self, tmp_path: Path, spec: SinkSpec, rebuild: bool) -> None:
        """Nothing says which rows are the run's: a sentence says what to do, and none is doubled."""
        root = _root(tmp_path)
        replay(root, None, [spec])
        ids = Path(spec.url) / ".journal" / "ids"
        os.truncate(ids.parent / (ids / "2").read_text() / "position.json", 3)
        (ids / "2").unlink()
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert _states(summary) == ["current", "failed", "current"]
        assert "put a copy of either back" in (summary.outcomes[1].error or "")
        assert self.document(spec, 4) is None

    @pytest.mark.parametrize("rebuild", [False, True])
    @pytest.mark.parametrize("notes", [True, False])
    @pytest.mark.parametrize("what", ["all", "one run"])
    def test_a_copy_without_hidden_files(
        self, tmp_path: Path, spec: SinkSpec, what: str, rebuild: bool, notes: bool
    ) -> None:
        """The rows say which journals they are of: written anew under their numbers, none doubled."""
        root = _root(tmp_path)
        other = JournalRoot(tmp_path / "other")
        write_run(other.claim())
        replay(other, None, [spec])
        numbers = [
            1,
            2,
            3,
            4,
        ]  # the root's runs 1 to 3 are 2 to 4 here: their own numbers tell nothing
        assert [2, 3, 4] == [one.view_id for one in replay(root, None, [spec]).outcomes]
        before = [self.document(spec, number) for number in numbers]
        own = Path(spec.url) / ".journal"
        if what == "all":
            shutil.rmtree(own)
        else:
            shutil.rmtree(own / (own / "ids" / "3").read_text())
            (own / "ids" / "3").unlink()
            orphans.forget_orphans(spec.url)  # as another process would
        if not notes:  # on another machine
            for folder in root.runs():
                shutil.rmtree(folder.views)
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert [2, 3, 4] == [one.view_id for one in summary.outcomes]
        assert _states(summary) == ["current"] * 3
        mended = [one.mended or "" for one in summary.outcomes]
        assert "hidden folder .journal was gone" in mended[1]
        assert (what == "all") == ("hidden" in mended[0])
        assert [self.document(spec, number) for number in numbers] == before
        assert self.document(spec, 5) is None
        assert not any(one.mended for one in replay(root, None, [spec]).outcomes)

    def test_rows_of_another_program(self, tmp_path: Path, spec: SinkSpec) -> None:
        """Files that nobody can read, in a tree without hidden files, are left and taken for nobody's."""
        root = _root(tmp_path)
        assert replay(root, None, [spec]).exit_code == 0
        shutil.rmtree(Path(spec.url) / ".journal")
        for folder in Path(spec.url).glob("*/*/run=2"):
            shutil.rmtree(folder)
        path = Path(spec.url) / "runs" / "experiment=theirs" / "run=2" / "part-0-00000.parquet"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no parquet")
        summary = replay(root, None, [spec])
        assert [1, 4, 3] == [one.view_id for one in summary.outcomes]
        assert path.read_bytes() == b"no parquet"


class TestTinyDb(places.TinyDbPlace):
    """A TinyDB."""

    @pytest.mark.parametrize("points", [0, 5])
    @pytest.mark.parametrize("rebuild", [False, True])
    def test_a_table_that_is_gone(
        self, tmp_path: Path, spec: SinkSpec, rebuild: bool, points: int
    ) -> None:
        """Nothing says how far the runs are: a sentence says what to do, and none is written twice."""
        root = JournalRoot(tmp_path / "runs")
        for _ in range(3):
            write_run(root.claim(), points=points)
        replay(root, None, [spec])
        path = Path(spec.url) / "metadata.json"
        tables = json.loads(path.read_text())
        del tables["_journal"]
        path.write_text(json.dumps(tables))
        summary = replay(root, None, [spec], rebuild=rebuild)
        assert _states(summary) == ["failed"] * 3
        assert "remove the run's document" in (summary.outcomes[0].error or "")
        assert len(json.loads(path.read_text())["runs"]) == 3
        self.delete_run(spec, 2)
        assert replay(root, [2], [spec], rebuild=True).outcomes[0].view_id == 2
