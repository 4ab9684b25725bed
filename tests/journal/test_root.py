"""The root: every run gets a folder of its own, and a number is never given twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from sacred.journal import JournalRoot, JournalWriter, RunFolder, find_root
from sacred.journal.errors import (
    JournalUnavailableError,
    NoRootError,
    NotAJournalError,
    RunNotFoundError,
)
from sacred.journal.wording import counted

CLAIM = """
import sys
from sacred.journal import JournalRoot
root = JournalRoot(sys.argv[1])
print(*[root.claim().number for _ in range(40)])
"""


def test_processes_that_claim_at_once_get_different_numbers(tmp_path):
    """Four processes claim 160 runs: 160 different folders, numbered without a gap."""
    command = [sys.executable, "-c", CLAIM, str(tmp_path / "root")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    numbers = [int(n) for process in processes for n in process.communicate(timeout=60)[0].split()]
    assert sorted(numbers) == list(range(1, 161))


def test_a_preferred_number_is_given_if_it_is_free(tmp_path):
    """A run's id becomes its folder's name where it can; else the next free number."""
    root = JournalRoot(tmp_path / "root")
    assert root.claim(57).number == 57
    assert root.claim(57).number == 58
    assert root.claim(3).number == 3
    assert root.claim().number == 59


def test_a_number_is_not_used_again(tmp_path):
    """R12: not after the run was removed, nor while it lies in the trash."""
    root = JournalRoot(tmp_path / "root")
    for _ in range(3):
        folder = root.claim()
    shutil.rmtree(folder.path)
    assert root.claim().number == 4
    (root.path / ".trash" / "9").mkdir(parents=True)
    assert root.claim(9).number == 5


def test_a_number_is_not_used_again_by_whom_asks_for_it(tmp_path):
    """R12: nor to a run with that very id; one that was only passed over is given, once."""
    root = JournalRoot(tmp_path / "root")
    shutil.rmtree(root.claim().path)
    assert root.claim(1).number == 2
    assert root.claim(100).number == 100
    for number in (50, 3, 99):
        shutil.rmtree(root.claim(number).path)
        assert number not in root.numbers()
    assert (root.path / ".high-water").read_text() == "100\n4-49 51-98\n"
    found = [root.claim(number).number for number in (50, 3, 99, 1, 100, 0, -5, 51, 4, 98)]
    assert found == [101, 102, 103, 104, 105, 106, 107, 51, 4, 98]
    assert (root.path / ".high-water").read_text() == "107\n5-49 52-97\n"
    assert root.claim().number == 108


def test_the_hint_of_numbers_stays_small(tmp_path, monkeypatch):
    """What is forgotten counts as given, what is nonsense as not there."""
    monkeypatch.setattr("sacred.journal.root._MOST_ROWS", 2)
    root = JournalRoot(tmp_path / "root")
    for number in (10, 20, 30):
        root.claim(number)
    assert (root.path / ".high-water").read_text() == "30\n11-19 21-29\n"
    assert [root.claim(number).number for number in (5, 15)] == [31, 15]
    (root.path / ".high-water").write_text("31\n0-9 x 7 4-\n")
    assert [root.claim(number).number for number in (5, 40)] == [32, 40]


def test_a_run_that_comes_from_elsewhere_gets_no_number_that_was_used(tmp_path):
    """R12: nor one that comes back; a number that was passed over is free, and is given once."""
    root = JournalRoot(tmp_path / "root")

    def adopt(preferred):
        folder = root.path / ".import-1"
        (folder / "journal").mkdir(parents=True)
        return root.adopt(folder, preferred).number

    shutil.rmtree(root.claim().path)
    assert adopt(1) == 2
    assert adopt(50) == 50
    for number in (50, 7):
        found = adopt(number)
        shutil.rmtree(root.path / str(found))
        assert found == {50: 51, 7: 7}[number]
    assert [52, 53] == [adopt(7), adopt(None)]
    (root.path / ".trash" / "9").mkdir(parents=True)
    assert adopt(9) == 54
    assert root.claim().number == 55


def test_a_mark_that_can_not_be_written_leaves_nothing(tmp_path):
    """A folder under its name: runs get their numbers, and no temporary file stays."""
    root = JournalRoot(tmp_path / "runs")
    root.create()
    (root.path / ".high-water").mkdir()
    assert [1, 2, 3] == [root.claim().number for _ in range(3)]
    assert [] == list(root.path.glob(".high-water.*"))


def test_a_lost_high_water_mark_is_a_lost_hint(tmp_path):
    """Without the mark, or with nonsense in it, the folders decide."""
    root = JournalRoot(tmp_path / "root")
    root.claim(7)
    for content in (None, "nonsense", "-3", "9" * 50):
        mark = root.path / ".high-water"
        mark.unlink()
        if content is not None:
            mark.write_text(content)
        assert root.claim().number == max(root.numbers())


def test_the_root_is_marked_and_kept_out_of_git(tmp_path):
    """The marker tells the layout's version; git is told to look away."""
    root = JournalRoot(tmp_path / "root")
    assert not root.exists()
    root.create()
    root.create()
    assert json.loads((root.path / ".sacred-journal").read_text()) == {"layout": 1}
    assert (root.path / ".gitignore").read_text() == "*\n"


def test_the_root_is_found_from_below(tmp_path):
    """As git does: the folder itself, its `sacred_runs`, and the same in each parent."""
    root = JournalRoot(tmp_path / "project" / "sacred_runs")
    root.create()
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    for start in (deep, tmp_path / "project", root.path):
        assert find_root(start).path == root.path
    assert find_root(given=tmp_path / "project").path == root.path
    with pytest.raises(NoRootError, match="no root of journals"):
        find_root(given=deep)
    with pytest.raises(NoRootError, match="does not exist"):
        find_root(given=tmp_path / "nowhere")


def test_the_root_of_here_comes_before_the_one_around_it(tmp_path):
    """In a folder that is a root by itself: where an experiment started there would write."""
    around = JournalRoot(tmp_path)
    around.create()
    assert find_root(tmp_path).path == around.path
    JournalRoot(tmp_path / "sacred_runs").create()
    assert find_root(tmp_path).path == tmp_path / "sacred_runs"


def test_a_file_storage_is_made_no_root(tmp_path):
    """FSO-02: the numbered folders of a Sacred file storage are not taken for runs of a root."""
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "run.json").write_text("{}")
    with pytest.raises(JournalUnavailableError, match="holds runs of a file storage"):
        JournalRoot(tmp_path / "runs").claim()
    assert os.listdir(tmp_path / "runs") == ["1"]


def test_what_is_not_there_is_said(tmp_path):
    """Missing runs, folders without a journal and folders that can not be made."""
    root = JournalRoot(tmp_path / "root")
    root.create()
    with pytest.raises(RunNotFoundError, match="there is no run 5 in"):
        root.run(5)
    with pytest.raises(NotAJournalError, match="does not exist"):
        RunFolder.at(tmp_path / "x")
    with pytest.raises(NotAJournalError, match="holds no journal"):
        RunFolder.at(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailableError, match="choose another folder with -J DIR"):
        JournalRoot(tmp_path / "file" / "root").claim()


def test_numbers_of_things():
    """One thing is one thing, many have their thousands apart."""
    assert ["0 events", "1 event", "2 events", "1,002 events"] == [
        counted(number, "event") for number in (0, 1, 2, 1002)
    ]


@pytest.mark.skipif(
    os.name == "nt" or not shutil.which("unshare") or os.geteuid() != 0,
    reason="needs root, to mount a read-only and a tiny file system",
)
@pytest.mark.parametrize("options", ["ro", "size=4k,nr_inodes=3"])
def test_a_read_only_or_full_disk_is_said(tmp_path, options):
    """A root on a disk that takes nothing: one sentence that says what to do."""
    program = """
import sys
from sacred.journal import JournalRoot, JournalWriter
from sacred.journal.errors import JournalUnavailableError
try:
    for _ in range(5):
        JournalWriter.create(JournalRoot(sys.argv[1]).claim().journal)
except JournalUnavailableError as error:
    print(error.strerror or error)
"""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f'mount -t tmpfs -o {options} none "$1" && "$2" -c "$3" "$1/root"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(disk), sys.executable, program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode and "unshare" in done.stderr or "permitted" in done.stderr:
        pytest.skip("this machine lets nobody mount")
    assert "can not be written" in done.stdout, done.stderr
    assert "SACRED_JOURNAL_ROOT" in done.stdout


def test_any_folder_with_a_journal_can_be_read(tmp_path):
    """A journal outside a root, by its folder or by the folder above."""
    JournalWriter.create(tmp_path / "somewhere" / "journal").close()
    for path in (tmp_path / "somewhere", tmp_path / "somewhere" / "journal"):
        folder = RunFolder.at(path)
        assert (folder.path, folder.number) == (tmp_path / "somewhere", None)


def test_a_late_writer_does_not_lower_the_mark(tmp_path, monkeypatch):
    """R12: of two processes that claim at once, the one with the lower number may come last."""
    root = JournalRoot(tmp_path / "root")
    root.claim()
    slow = JournalRoot(tmp_path / "root")
    high = slow._high_water()
    number = slow._try_claim(2).number
    for _ in range(3):
        last = root.claim()
    slow._raise_high_water(high, number)
    shutil.rmtree(last.path)
    assert root.claim().number == last.number + 1


def test_a_run_of_which_only_output_is_left_holds_something(tmp_path):
    """P3: where the files of the journal are gone and the spool is not, nobody says that nothing was written."""
    folder = JournalRoot(tmp_path / "runs").claim()
    assert folder.holds_nothing()
    (folder.journal / "w0000.spool").write_bytes(b"output")
    assert not folder.holds_nothing()
