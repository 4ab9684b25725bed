"""What questions keep of ended runs: with it and without it the answer is the same."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sacred.journal import EventType, JournalError, JournalRoot, JournalWriter, repair_run, seal_run
from sacred.journal.notes import Said, annotate
from sacred.journal.spool import SPOOL
from sacred.replayers import journal_stamps, kept_outlines, outline_reading, question_cache
from sacred.replayers.listing import outline, outlines
from sacred.replayers.question_cache import collect_question_caches


@pytest.fixture
def root(tmp_path):
    """The root of the runs."""
    return JournalRoot(tmp_path / "runs")


@pytest.fixture(autouse=True)
def fine_times(monkeypatch):
    """The disk of the tests tells changes apart that are a tick of its clock apart."""
    monkeypatch.setattr(journal_stamps, "_GRAIN", 0)


def tick(place):
    """Return when the disk's clock has moved on: what is made from now on is younger."""
    path = os.path.join(place, ".tick")
    first = None
    for _ in range(1_000_000):
        with open(path, "w"):
            now = os.stat(path).st_mtime_ns
        os.unlink(path)
        first = now if first is None else first
        if now > first:
            return
    raise AssertionError("the disk's clock stands still")


def begun(root, number=None, result=None):
    """Begin a run; return its writer."""
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    about = {"run_id": number or folder.number, "name": "x", "command": "main", "config": {"a": 1}}
    nothing = {"meta": {}, "experiment": {"name": "x", "base_dir": "/x"}}
    writer.append(EventType.RUN_STARTED, **about, **nothing, host={"hostname": "h"})
    writer.log_point("loss", 0, 0.5)
    return writer


def ended(root, status="COMPLETED", result=None):
    """Make a run that ended and is sealed."""
    writer = begun(root)
    fields = {} if result is None else {"result": result}
    writer.append(EventType.RUN_ENDED, how="completed", status=status, **fields)
    writer.close()
    folder = root.runs()[-1]
    seal_run(folder, closed={0: 1})
    return folder


def shown(root, **options):
    """Return the outlines; of runs that go on without the time that passes."""
    found = list(outlines(root, **options))
    for one in found:
        if one.stop is None:
            one.duration = None
    return [repr(one) for one in found]


def kept(root):
    """Return the numbers of the runs that are kept, whether they are still so or not."""
    stamps = journal_stamps.JournalStamps(root)
    with contextlib.closing(stamps):
        return sorted(question_cache.KeptRows(root, "runs", stamps, kept_outlines._FORM)._kept)


def test_the_second_question_reads_no_journal(root, monkeypatch):
    """Ended runs are read once; with the same outlines, of all kinds of results."""
    results = [None, 3, 0.25, True, "text", [1, [2.5, None]], {"a": {"b": [True]}}, float("nan")]
    for result in results:
        ended(root, result=result)
    tick(root.path)
    first = shown(root)
    assert kept(root) == list(range(1, len(results) + 1))
    monkeypatch.setattr(outline_reading, "read_outline", None)
    assert shown(root) == first == shown(root)


def test_what_is_not_kept(root):
    """Runs that go on, died, are damaged, were not begun or are none are read each time."""
    ended(root)
    begun(root)
    root.claim()
    (root.path / "4").mkdir()
    (root.path / "4" / "journal").write_text("")
    damaged = root.path / str(ended(root).number) / "journal" / "w0000-e0001.jzst"
    damaged.write_bytes(damaged.read_bytes()[:400])
    odd = begun(root)
    odd.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result={1: 2})
    odd.close()
    tick(root.path)
    statuses = [one.status for one in outlines(root)]
    assert statuses == ["COMPLETED", "RUNNING", "EMPTY", "FOREIGN", "FOREIGN", "COMPLETED"] or (
        statuses[4] in {"COMPLETED", "DIED"}
    )
    assert kept(root) == [1]
    assert shown(root) == shown(root, cache=False)


def test_a_copy_that_brings_size_and_date_of_what_it_takes_the_place_of(root):
    """Other bytes under the same inode, size and date are noticed."""
    path = ended(root).journal / "w0000-e0001.jzst"
    tick(root.path)
    assert [one.problem for one in outlines(root)] == [None]
    assert kept(root) == [1]
    before, content = path.stat(), path.read_bytes()
    with open(path, "r+b") as file:
        file.seek(len(content) // 2)
        file.write(bytes([content[len(content) // 2] ^ 255]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (before.st_ino, before.st_size, before.st_mtime_ns) == (
        after.st_ino,
        after.st_size,
        after.st_mtime_ns,
    )
    assert shown(root) == shown(root, cache=False)
    assert next(iter(outlines(root))).problem is not None


def test_changes_that_the_disk_can_not_tell_apart(root, monkeypatch):
    """On a disk with coarse times, a run that changed a moment ago is not kept."""
    monkeypatch.setattr(journal_stamps, "_GRAIN", 3600 * 10**9)
    ended(root)
    tick(root.path)
    assert shown(root) == shown(root, cache=False)
    assert kept(root) == []


def test_a_root_that_nothing_may_be_written_into(root):
    """Then nothing is kept, and nobody complains."""
    ended(root)
    tick(root.path)
    (root.path / ".cache").write_text("no folder")
    assert shown(root) == shown(root) == shown(root, cache=False)
    assert (root.path / ".cache").read_text() == "no folder"


def test_a_full_disk(root, monkeypatch):
    """What could not be written whole is not there."""
    ended(root)
    tick(root.path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(question_cache.os, "replace", full)
    assert shown(root) == shown(root, cache=False)
    assert os.listdir(root.path / ".cache" / "questions") == []


@pytest.mark.parametrize(
    "harm", ["cut", "flipped", "other version", "empty", "a folder", "lies", "other form"]
)
def test_a_cache_that_is_no_good(root, harm):
    """Whatever stands in its place: the answer is that of the journals, and it is made anew."""
    import msgpack
    import xxhash

    ended(root)
    tick(root.path)
    expected = shown(root)
    (path,) = (root.path / ".cache" / "questions").iterdir()
    content = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    elif harm == "lies":
        body = msgpack.packb([[1, "no stamp", 3]])
        head = question_cache._head() + kept_outlines._FORM.encode() + b"\n"
        path.write_bytes(head + xxhash.xxh64_digest(body) + body)
    else:
        at = len(content) // 2
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        other = content.replace(question_cache._head(), question_cache._MAGIC + b"0 0.0.1\n")
        form = content.replace(b" tags notes", b" notes")
        wrong = {
            "other form": form,
            "cut": content[:-1],
            "flipped": flipped,
            "other version": other,
            "empty": b"",
        }
        path.write_bytes(wrong[harm])
    assert shown(root) == expected == shown(root, cache=False)
    assert kept(root) == ([] if harm == "a folder" else [1])


def test_it_is_read_by_its_owner_alone(root):
    """It holds what only some may read in the journals; and nobody else's is believed."""
    ended(root)
    tick(root.path)
    shown(root)
    (path,) = (root.path / ".cache" / "questions").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_bounded(root, monkeypatch):
    """In size: of more runs the latest are kept."""
    for _ in range(5):
        ended(root)
    tick(root.path)
    monkeypatch.setattr(question_cache, "_MOST", question_cache._AROUND + 450)
    assert shown(root) == shown(root) == shown(root, cache=False)
    assert kept(root) == [3, 4, 5]
    (path,) = (root.path / ".cache" / "questions").iterdir()
    before = path.stat()
    assert shown(root) == shown(root, cache=False)
    assert path.stat() == before  # what did not fit does not have it written again


def test_deleting_it_changes_nothing(root):
    """The next question makes it again."""
    ended(root)
    tick(root.path)
    expected = shown(root)
    shutil.rmtree(root.path / ".cache")
    assert shown(root) == expected
    assert kept(root) == [1]


def test_what_reads_journals_is_not_even_loaded(root):
    """A list of runs that are known starts without it: that is a sixth of its time."""
    ended(root)
    tick(root.path)
    program = (
        "import sys; from sacred.replayers import journal_stamps; journal_stamps._GRAIN = 0\n"
        "from sacred.cli import main; main(sys.argv[1:])\n"
        "print(*(name for name in ('sacred.journal.reader', 'duckdb') if name in sys.modules))"
    )
    command = [sys.executable, "-c", program, "ls", "--root", str(root.path)]
    told = [subprocess.check_output(command, text=True).splitlines() for _ in range(2)]
    assert told[0][:-1] == told[1][:-1]
    assert ["sacred.journal.reader", ""] == [lines[-1] for lines in told]


#: A process with one thread, which may be forked; pytest's workers have several.
_TWO = """
import os, signal, sys
from sacred.journal import JournalRoot
from sacred.replayers import journal_stamps, kept_outlines, second_process
from sacred.replayers.listing import outlines
journal_stamps._GRAIN, kept_outlines._MANY, kept_outlines._TOGETHER = 0, 4, 2
really, answers = second_process.SecondProcess.next, []
def next_of(self):
    if len(answers) == {killed}:
        os.kill(self._pid, signal.SIGKILL)
        self._pipe.read()
    answers.append(really(self))
    return answers[-1]
second_process.SecondProcess.next = next_of
found = outlines(JournalRoot(sys.argv[1]), cache={cache})
for one in found:
    print(repr(one))
    if one.run == {stopped}:
        found.close()
told = [number.run for part in answers if part for number, _ in part]
print(told)
"""


def by_two(root, *, killed=-1, cache=True, stopped=0):
    """Return the outlines that a process with a second one gives, and which runs came from that."""
    program = _TWO.format(killed=killed, cache=cache, stopped=stopped)
    command = [sys.executable, "-c", program, str(root.path)]
    # It ends when nobody has the other end of the pipe: neither of the two is left behind.
    *lines, told = subprocess.check_output(command, text=True, timeout=60).splitlines()
    return lines, told


@pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_half_is_read_by_a_second_process(root):
    """The answer, and what is kept, are the same; also where that process is killed, or not needed."""
    for number in range(11):
        ended(root, result={"a": [number, None]})
    (root.runs()[7].journal / "w0000-e0001.jzst").write_bytes(b"damaged" * 100)
    annotate(root.runs()[8], [Said("tag", "add", "good")])
    tick(root.path)
    expected = shown(root, cache=False)
    assert (expected, "[6, 7, 8, 9, 10, 11]") == by_two(root, cache=False)
    assert (expected, "[6, 7]") == by_two(root, cache=False, killed=1)
    assert (expected[:3], "[]") == by_two(root, cache=False, stopped=3)
    assert not kept(root)
    assert (expected, "[6, 7, 8, 9, 10, 11]") == by_two(root)
    assert kept(root) == [n for n in range(1, 12) if n != 8]
    assert (expected, "[]") == by_two(root)
    ended(root)
    assert shown(root, cache=False) == shown(root) == by_two(root)[0]


def test_several_at_once(root):
    """Threads, and processes that are killed meanwhile, leave a cache that is right or none."""
    for _ in range(20):
        ended(root)
    tick(root.path)
    expected = shown(root, cache=False)
    program = (
        "import sys; from sacred.replayers.listing import outlines\n"
        "from sacred.journal import JournalRoot\n"
        "print('on', flush=True)\n"
        "while True: list(outlines(JournalRoot(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(root.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        try:
            other.stdout.readline()
            barrier = threading.Barrier(4)

            def ask(_):
                barrier.wait()
                return [shown(root) for _ in range(5)]

            with ThreadPoolExecutor(4) as pool:
                answers = [answer for found in pool.map(ask, range(4)) for answer in found]
        finally:
            other.kill()
    assert all(answer == expected for answer in answers)
    assert shown(root) == expected


def test_what_nobody_reads_is_collected(root):
    """Files of other versions, and what a kill left half written; the one in use stays."""
    ended(root)
    tick(root.path)
    shown(root)
    place = root.path / ".cache" / "questions"
    (name,) = os.listdir(place)
    (place / "runs-99").write_bytes(b"of another version")
    (place / f".{name}.0123456789ab").write_bytes(b"half")
    (place / "mine.txt").write_text("of a person")
    assert collect_question_caches(root, grace=3600).files == 0
    assert collect_question_caches(root, grace=-3600, dry_run=True).files == 2
    assert collect_question_caches(root, grace=-3600)[:2] == (2, 22)
    assert sorted(os.listdir(place)) == ["mine.txt", name]
    assert collect_question_caches(root, grace=0, everything=True).files == 1
    assert os.listdir(place) == ["mine.txt"]


class WhateverIsDone(RuleBasedStateMachine):
    """Whatever is done to a root, the outlines are the same with the cache and without."""

    numbers = st.integers(0, 5)

    def __init__(self):
        super().__init__()
        import tempfile

        self._place = tempfile.mkdtemp(prefix="sacred-cache-")
        self._grain, journal_stamps._GRAIN = journal_stamps._GRAIN, 0
        self.root = JournalRoot(os.path.join(self._place, "runs"))
        self.writers = {}
        self.aside = []

    def teardown(self):
        for writer in self.writers.values():
            writer.close()
        journal_stamps._GRAIN = self._grain
        shutil.rmtree(self._place)

    @initialize()
    def begin(self):
        ended(self.root)

    def folders(self):
        return [folder for folder in self.root.runs() if folder.number not in self.writers]

    def chosen(self, number):
        folders = self.folders()
        return folders[number % len(folders)] if folders else None

    def file_of(self, number):
        folder = self.chosen(number)
        files = sorted(folder.journal.glob("*.jzst")) if folder else []
        return files[0] if files else None

    @rule(result=st.sampled_from([None, 1, "x", [1, 2], {"a": 1.5}]))
    def make(self, result):
        ended(self.root, result=result)

    @rule()
    def start(self):
        writer = begun(self.root)
        self.writers[self.root.runs()[-1].number] = writer

    @precondition(lambda self: self.writers)
    @rule(number=numbers, close=st.booleans())
    def go_on(self, number, close):
        which = sorted(self.writers)[number % len(self.writers)]
        self.writers[which].log_point("loss", number, 1.0)
        self.writers[which].flush()
        if close:
            writer = self.writers.pop(which)
            writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED", result=which)
            writer.close()

    @rule(number=numbers)
    def seal(self, number):
        folder = self.chosen(number)
        if folder is not None:
            with contextlib.suppress(Exception):
                seal_run(folder)

    @rule(number=numbers)
    def repair(self, number):
        folder = self.chosen(number)
        if folder is not None:
            with contextlib.suppress(Exception):
                repair_run(folder)

    @rule(number=numbers)
    def append_bytes(self, number):
        path = self.file_of(number)
        if path is not None:
            with open(path, "ab") as file:
                file.write(b"\x28\xb5\x2f\xfd junk")

    @rule(number=numbers, at=st.floats(0, 0.99), dated=st.booleans())
    def flip(self, number, at, dated):
        path = self.file_of(number)
        if path is None or not path.stat().st_size:
            return
        before = path.stat()
        with open(path, "r+b") as file:
            file.seek(int(at * before.st_size))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        if dated:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(number=numbers)
    def put_aside(self, number):
        path = self.file_of(number)
        if path is not None and len(self.aside) < 5:
            kept = os.path.join(self._place, f"aside-{len(self.aside)}")
            shutil.copy2(path, kept)
            self.aside.append(kept)

    @precondition(lambda self: self.aside)
    @rule(number=numbers, which=numbers, rename=st.booleans())
    def put_back(self, number, which, rename):
        path = self.file_of(number)
        if path is not None:
            source = self.aside[which % len(self.aside)]
            if rename:
                shutil.copy2(source, f"{path}.new")
                os.replace(f"{path}.new", path)
            else:
                shutil.copy2(source, path)

    @rule(number=numbers)
    def delete(self, number):
        folder = self.chosen(number)
        if folder is not None:
            shutil.rmtree(folder.path)

    @rule(number=numbers, other=numbers)
    def swap(self, number, other):
        one, two = self.chosen(number), self.chosen(other)
        if one is not None and one.number != two.number:
            middle = os.path.join(self._place, "middle")
            os.rename(one.path, middle)
            os.rename(two.path, one.path)
            os.rename(middle, two.path)

    @rule(number=numbers)
    def another_file(self, number):
        folder = self.chosen(number)
        if folder is not None and folder.journal.is_dir():
            with contextlib.suppress(JournalError):
                worker = JournalWriter.join(folder.journal, journal_id=outline(folder).journal_id)
                worker.log_point("loss", 1, 2.0)
                worker.close()

    @rule(number=numbers)
    def spool(self, number):
        folder = self.chosen(number)
        if folder is not None and folder.journal.is_dir():
            (folder.journal / SPOOL).write_bytes(b"\x00\x01 no spool at all")

    @rule(number=numbers, text=st.sampled_from(["good", "bad"]))
    def say(self, number, text):
        folder = self.chosen(number)
        if folder is not None:
            with contextlib.suppress(JournalError):
                annotate(folder, [Said("tag", "add", text)])

    @rule()
    def move_root(self):
        moved = os.path.join(self._place, f"moved-{len(os.listdir(self._place))}")
        if not self.writers:
            os.rename(self.root.path, moved)
            self.root = JournalRoot(moved)

    @rule()
    def copy_root(self):
        if not self.writers:
            copied = os.path.join(self._place, f"copied-{len(os.listdir(self._place))}")
            shutil.copytree(self.root.path, copied)
            self.root = JournalRoot(copied)

    @rule()
    def wait(self):
        tick(self._place)

    @invariant()
    def same(self):
        if self.root.exists():
            expected = shown(self.root, cache=False)
            assert shown(self.root) == expected
            assert shown(self.root) == expected


TestWhateverIsDone = WhateverIsDone.TestCase
TestWhateverIsDone.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_an_outline_alone_is_the_same(root):
    """What is read for one run is what the list says of it."""
    folder = ended(root)
    tick(root.path)
    shown(root)
    assert [repr(outline(folder))] == shown(root)
