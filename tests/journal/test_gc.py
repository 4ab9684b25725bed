"""Collecting what no run needs: exactly the old orphans go, and nothing that anybody may need."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sacred.journal import (
    BlobStore,
    EventType,
    JournalReader,
    JournalRoot,
    JournalWriter,
    garbage,
    packing,
)
from sacred.journal import marks as marking
from sacred.journal.codec import BlobReference, pack
from sacred.journal.errors import NoRootError
from sacred.journal.garbage import collect
from sacred.journal.references import decode_checked, references
from sacred.journal.repair import repair_run
from sacred.journal.spool import encode_record
from sacred.journal.verification import verify

GOLDEN = Path(__file__).parents[1] / "golden"
DAY = 86400.0
SIZES = {"blobs": 0, "temporary": 0, "aside": 0, "spools": 0}


def aged(path, days=30.0):
    """Have a file look so old."""
    when = time.time() - days * DAY
    os.utime(path, (when, when), follow_symlinks=False)
    return path


def counts(done):
    return {entry.kind: entry.count for entry in done.collected}


@pytest.fixture
def root(tmp_path):
    """An empty root."""
    root = JournalRoot(tmp_path / "sacred_runs")
    root.create()
    return root


@pytest.fixture
def store(root):
    """Its blobs."""
    return BlobStore(root.blobs, durable=False)


@pytest.fixture
def blob(store):
    """Store some text, old or young; return where it lies."""

    def put(text, days=30.0):
        return aged(store.path_of(store.put_bytes(text.encode()).blob.digest), days)

    return put


def write(folder, *digests, end=True, **options):
    """Write a journal that names some blobs as artifacts."""
    writer = JournalWriter.create(folder, **options)
    about = {"name": "x", "command": "main", "config": {}, "meta": {}, "host": {}}
    writer.append(EventType.RUN_STARTED, run_id=1, experiment={"name": "x"}, **about)
    for digest in digests:
        reference = BlobReference("sha256", digest, 1).to_wire()
        writer.append(EventType.ARTIFACT_ADDED, name="a", filename="a", blob=reference)
    if end:
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    return folder


def claimed(root, *digests, **options):
    """Write a run that names some blobs."""
    folder = root.claim()
    write(folder.journal, *digests, **options)
    return folder


# -- what goes and what stays ------------------------------------------------------------------


def test_old_orphans_go_and_nothing_else(root, blob):
    """A blob goes that is old and named by nobody; the bytes are counted."""
    used, young, orphan = blob("used"), blob("young", days=6.9), blob("orphan", days=7.1)
    claimed(root, used.name)
    dry = collect(root, dry_run=True)
    assert orphan.exists()
    done = collect(root)
    assert dry == done
    assert {**SIZES, "blobs": 1} == counts(done)
    assert len("orphan") == done.freed
    assert (1, 1, 0, 0, 1) == done[1:6]
    assert [True, True, False] == [path.exists() for path in (used, young, orphan)]
    assert {**SIZES} == counts(collect(root))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_root(tmp_path_factory, data):
    """Of any root, with shared, missing and orphan blobs of all ages, exactly the old orphans go."""
    base = tmp_path_factory.mktemp("roots")
    try:
        root = JournalRoot(base / "root")
        root.create()
        store = BlobStore(root.blobs, durable=False)
        ages = data.draw(st.lists(st.sampled_from([0.0, 1.0, 6.9, 7.1, 400.0]), max_size=12))
        digests = [store.put_bytes(b"%d" % n).blob.digest for n in range(len(ages))]
        names = [*digests, "f" * 64]
        used = set()
        for _ in range(data.draw(st.integers(0, 4))):
            picked = data.draw(st.lists(st.sampled_from(names), max_size=5))
            used.update(picked)
            claimed(root, *picked, durability="process")
        for digest, age in zip(digests, ages, strict=True):
            aged(store.path_of(digest), age)
        done = collect(root)
        left = {path.name for path in root.blobs.glob("*/*")}
        orphans = {d for d, age in zip(digests, ages, strict=True) if age > 7 and d not in used}
        assert set(digests) - orphans == left
        assert len(orphans) == counts(done)["blobs"]
        assert len(used & set(digests)) == done.used
    finally:
        shutil.rmtree(base)


def test_every_blob_that_any_event_can_name_is_marked(root):
    """What verify finds in the golden journals, of every event and value, is all marked."""
    found = 0
    for folder in sorted(GOLDEN.iterdir()):
        if not (folder / "journal").is_dir():
            continue
        marks: set[int] = set()
        try:
            for _ in marking.MarkingReader(folder / "journal", marks).poll():
                pass
            for event in JournalReader(folder, table_decoder=decode_checked).read():
                for reference in references(event):
                    found += 1
                    assert marking.mark_of(reference.digest) in marks, folder.name
        except Exception as error:  # journals that a reader has to refuse
            assert hasattr(error, "exit_code"), folder.name
    assert found > 10


def test_events_of_later_versions_and_values_within_values_name_blobs(root, blob, monkeypatch):
    """A type that may be skipped, a field that nobody knows, a value in a value: all are marked."""
    inner, field, deep = blob("a type of later"), blob("a field of later"), blob("deep")
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    reference = BlobReference("sha256", inner.name, 1).to_wire()
    writer._exclusively(writer._emit, pack({"t": 1, "e": 200, "xs": [{"y": reference}]}), 1)
    more = {"t": 1, "e": 135, "level": "", "text": "", "new": field.name}
    writer._exclusively(writer._emit, pack(more), 1)
    value = {"a": [({"b": BlobReference("sha256", deep.name, 1)},)]}
    writer.append(EventType.RESULT_CHANGED, result=value)
    writer.close()
    assert {**SIZES} == counts(collect(root))


def test_a_value_that_became_a_blob_names_blobs(root, blob, store, monkeypatch):
    """The manifest of a huge folder is a blob itself; what it names is needed as well."""
    monkeypatch.setattr(marking, "_CHUNK", 100)  # so that digests lie across two reads
    paths = [blob(f"file {number}") for number in range(20)]
    entries = [[p.name[:5], BlobReference("sha256", p.name, 6).to_wire(), 0] for p in paths]
    monkeypatch.setattr(packing, "VALUE_BYTES", 1000)
    monkeypatch.setattr(packing, "EVENT_BYTES", 1000)
    folder = root.claim()
    writer = JournalWriter.create(folder.journal, blobs=store)
    facts = {"name": "d", "filename": "/d", "role": "artifact"}
    writer.append(EventType.DIRECTORY_ADDED, entries=entries, **facts)
    writer.close()
    (manifest,) = set(root.blobs.glob("*/*")) - set(paths)
    aged(manifest)
    assert {**SIZES} == counts(collect(root))
    manifest.write_bytes(b"damaged")
    aged(manifest)
    orphan = blob("orphan")
    done = collect(root)
    assert [True] == [obstacle.damaged for obstacle in done.obstacles]
    assert orphan.exists()


@pytest.fixture
def folders(root, blob, store, monkeypatch):
    """Write a run with two folders whose manifests became blobs: each manifest with its files."""
    monkeypatch.setattr(packing, "VALUE_BYTES", 1000)
    monkeypatch.setattr(packing, "EVENT_BYTES", 1000)
    writer = JournalWriter.create(root.claim().journal, blobs=store)
    made = []
    for name in ("d", "e"):
        paths = [blob(f"file {number} in {name}") for number in range(20)]
        entries = [[p.name[:5], BlobReference("sha256", p.name, 6).to_wire(), 0] for p in paths]
        before = set(root.blobs.glob("*/*"))
        facts = {"name": name, "filename": name, "role": "artifact"}
        writer.append(EventType.DIRECTORY_ADDED, entries=entries, **facts)
        (manifest,) = set(root.blobs.glob("*/*")) - before
        made.append((aged(manifest), paths))
    for text in ("hit", "whole"):
        writer.append(EventType.MESSAGE, level="info", text=text)
    writer.close()
    return made


def test_force_keeps_what_whole_values_of_a_damaged_run_name(root, folders):
    """An event is lost: what the manifests of the others name is known, and stays."""
    path = root.path / "1" / "journal" / "w0000-e0001.jzst"
    path.write_bytes(path.read_bytes().replace(b"text\xa3hit", b"text\xa3h\0t"))
    done = collect(root, force=True)
    assert [True] == [obstacle.damaged for obstacle in done.obstacles]
    assert {**SIZES} == counts(done)
    assert all(path.exists() for manifest, paths in folders for path in [manifest, *paths])


def test_force_keeps_what_whole_values_beside_a_damaged_one_name(root, folders):
    """Of two manifests one is damaged, whichever is met first: the files of the other one stay."""
    for manifest, paths in folders:
        whole = manifest.read_bytes()
        manifest.write_bytes(b"damaged")
        done = collect(root, dry_run=True, force=True)
        assert [True] == [obstacle.damaged for obstacle in done.obstacles]
        assert {**SIZES, "blobs": len(paths)} == counts(done)
        manifest.write_bytes(whole)


@pytest.mark.parametrize(
    "place", [".trash/1", "1/notes", "1/notes/journal", "old runs/2025/1/journal", "1.bak/journal"]
)
def test_journals_wherever_they_are(root, blob, place):
    """Notes, the trash, and runs that somebody put aside in the root name blobs, too."""
    used, orphan = blob("used"), blob("orphan")
    write(root.path / place, used.name)
    done = collect(root)
    assert 1 == done.runs
    assert [True, False] == [used.exists(), orphan.exists()]


def test_a_run_behind_a_link(root, blob, tmp_path):
    """A run that was moved to another disk is read; nothing behind the link is removed."""
    used, orphan = blob("used"), blob("orphan")
    write(tmp_path / "elsewhere" / "journal", used.name)
    aside = aged_file(tmp_path / "elsewhere" / "journal" / ".0123abcd-w0000-e0002.jzst")
    os.symlink(tmp_path / "elsewhere", root.path / "1")
    done = collect(root)
    assert (1, {**SIZES, "blobs": 1}) == (done.runs, counts(done))
    assert [True, False, True] == [path.exists() for path in (used, orphan, aside)]
    shutil.rmtree(tmp_path / "elsewhere")  # not mounted today
    assert not collect(root, force=True).obstacles[0].damaged
    assert used.exists()


def test_what_is_no_run_is_in_nobodys_way(root, blob):
    """Empty claims, empty files, half a first frame, other folders: nothing in them names a blob."""
    orphan = blob("orphan")
    root.claim()
    write(root.claim().journal)
    torn = root.claim().journal / "w0000-e0001.jzst"
    torn.write_bytes((root.path / "2" / "journal" / "w0000-e0001.jzst").read_bytes()[:50])
    (root.claim().journal / "w0000-e0001.jzst").touch()
    (root.path / "plots").mkdir()
    (root.path / "lost+found").mkdir(mode=0)
    done = collect(root)
    assert [] == done.obstacles
    assert not orphan.exists()


# -- what can not be read ----------------------------------------------------------------------


def test_a_damaged_run_keeps_all_blobs(root, blob):
    """What lost events named is unknown; force removes what the others do not name."""
    used, orphan = blob("used"), blob("orphan")
    folder = claimed(root, used.name)
    path = folder.journal / "w0000-e0001.jzst"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40] + b"\0" * 20 + whole[-20:])
    done = collect(root)
    assert [("1/journal", True)] == [(o.where, o.damaged) for o in done.obstacles]
    assert ({**SIZES}, 1) == (counts(done), done.unneeded)
    assert {**SIZES, "blobs": 1} == counts(collect(root, force=True))
    assert [True, False] == [used.exists(), orphan.exists()]


def test_a_repaired_run_keeps_all_blobs_while_the_damaged_file_is_there(root, blob):
    """Somebody may still get something out of it; when it is removed, nobody can."""
    used, orphan = blob("used"), blob("orphan")
    folder = root.claim()
    code = (
        "import sys; from sacred.journal import *; w = JournalWriter.create(sys.argv[1])\n"
        "for n in range(9): w.append(EventType.MESSAGE, level='', text='x')\nw.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(folder.journal)], check=True, timeout=60)
    write(root.claim().journal, used.name)
    path = folder.journal / "w0000-e0001.jzst"
    data = bytearray(path.read_bytes())
    data[-150] ^= 1
    path.write_bytes(data)
    (repaired,) = repair_run(folder)
    assert "clean" == verify(folder).verdict
    assert ["1/journal"] == [obstacle.where for obstacle in collect(root).obstacles]
    assert orphan.exists()
    repaired.kept.unlink()
    assert {**SIZES, "blobs": 1} == counts(collect(root))
    assert used.exists()


@pytest.mark.parametrize("name", ["future-feature", "future-major"])
def test_a_run_of_a_later_version_keeps_all_blobs(root, blob, name):
    """No force helps: what it names can be read, by somebody else."""
    orphan = blob("orphan")
    shutil.copytree(GOLDEN / name, root.path / "1")
    for force in (False, True):
        assert [False] == [o.damaged for o in collect(root, force=force).obstacles]
    assert orphan.exists()


def test_a_root_of_a_later_version_keeps_all_blobs(root, blob):
    """Where a later version may name blobs is not known."""
    orphan = blob("orphan")
    (root.path / ".sacred-journal").write_text('{"layout": 2}\n')
    assert [False] == [o.damaged for o in collect(root, force=True).obstacles]
    assert orphan.exists()


@pytest.mark.parametrize("bad", ["foreign", "noise", "folder", "pipe", "dangling", "only damaged"])
def test_files_that_are_none(root, blob, bad):
    """Something else under the name of a journal's file, alone or beside a whole one: no blob goes."""
    orphan = blob("orphan")
    write(root.claim().journal)
    path = root.claim().journal / "w0000-e0001.jzst"
    if bad == "foreign":
        write(path.parent)
        shutil.copy(path, path.with_name("w0001-e0001.jzst"))
    elif bad == "noise":
        path.write_bytes(bytes(range(256)) * 9)
    elif bad == "folder":
        path.mkdir()
    elif bad == "pipe":
        os.mkfifo(path)
    elif bad == "dangling":
        path.symlink_to("nowhere")
    else:
        path.with_name("w0000-e0001.jzst.damaged-1").write_bytes(b"x")
    done = collect(root)
    assert ["2/journal"] == [obstacle.where for obstacle in done.obstacles]
    assert orphan.exists()


def test_a_file_that_vanished_keeps_all_blobs(root, blob):
    """The first writer saw a child's file, which is not there: what it named is unknown."""
    orphan = blob("orphan")
    folder = root.claim()
    writer = JournalWriter.create(folder.journal)
    writer.append(EventType.CHILD_SEEN, writer=1)
    writer.close()
    done = collect(root)
    (obstacle,) = done.obstacles
    assert obstacle.reason.startswith("w0001-e0001.jzst: the events from 0 on are lost: the first")
    assert orphan.exists()
    write(root.path / "aside" / "journal")
    shutil.copy(GOLDEN / "child" / "journal" / "w0001-e0001.jzst", folder.journal)
    (obstacle,) = collect(root).obstacles  # another's
    assert ("1/journal", False) == (obstacle.where, obstacle.reparable)


def test_a_run_without_its_first_file_keeps_all_blobs(root, blob):
    """Files of other writers are there: what the first one named is unknown, till it is back."""
    used, orphan = blob("used"), blob("orphan")
    folder = claimed(root, used.name)
    writer = JournalWriter.join(folder.journal, journal_id=JournalReader(folder.journal).journal_id)
    writer.append(EventType.MESSAGE, level="info", text="worker")
    writer.close()
    first = folder.journal / "w0000-e0001.jzst"
    os.rename(first, root.path.parent / "first")
    (obstacle,) = collect(root).obstacles
    assert obstacle.reason.startswith("w0000-e0001.jzst: the events from 0 on are lost: files of")
    assert (True, False) == (obstacle.damaged, obstacle.reparable)
    os.rename(root.path.parent / "first", first)
    assert {**SIZES, "blobs": 1} == counts(collect(root))
    assert [True, False] == [used.exists(), orphan.exists()]


def test_a_torn_end_is_in_nobodys_way(root, blob):
    """The event that a kill tore was never recorded: its call did not return."""
    used, orphan = blob("used"), blob("orphan")
    folder = claimed(root, used.name)
    path = folder.journal / "w0000-e0001.jzst"
    path.write_bytes(path.read_bytes()[:-3])
    assert [] == collect(root).obstacles
    assert [True, False] == [used.exists(), orphan.exists()]


def test_no_root(tmp_path):
    """A folder that is not there is an error, and none is made."""
    with pytest.raises(NoRootError):
        collect(JournalRoot(tmp_path / "none"))
    assert [] == list(tmp_path.iterdir())


def test_a_short_grace_needs_force(root, blob):
    """Less than a day may cost a program what it has stored and not yet named."""
    orphan = blob("orphan", days=0.5)
    for grace in (0.0, DAY - 1, -1.0, float("nan")):
        with pytest.raises(ValueError, match="grace"):
            collect(root, grace=grace)
    assert {**SIZES} == counts(collect(root, grace=DAY))
    assert {**SIZES, "blobs": 1} == counts(collect(root, grace=3600.0, force=True))
    assert not orphan.exists()


# -- what kills left ---------------------------------------------------------------------------


def aged_file(path, days=30.0, content=b"left"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return aged(path, days)


def test_left_overs_go_and_what_is_not_known_stays(root, blob):
    """Files that a kill left go when they are old; other names stay, whatever their age."""
    blob("young", days=0)
    folder = claimed(root)
    prefix = folder.journal
    aside = ".01ab23cd-w0000-e0001.jzst"
    gone = [
        aged_file(root.blobs / f".new-123-{'ab' * 6}"),
        aged_file(root.path / ".high-water.4711"),
        aged_file(prefix / aside),
    ]
    kept = [
        aged_file(root.blobs / f".new-124-{'ab' * 6}", days=1),
        aged_file(root.path / ".high-water.4712", days=1),
        aged_file(prefix / aside.replace("0001", "0002"), days=1),
        aged_file(prefix / "w0000-e0001.jzst.damaged-1"),
        aged_file(prefix / ".01ab23cd-notes.txt"),
        aged_file(prefix / "w0000-e0009.jzst.bak"),
        aged_file(root.path / ".high-water.old"),
        aged_file(root.blobs / "README"),
        aged_file(root.blobs / "zz" / ("f" * 64)),
        aged_file(root.blobs / "aa" / ("f" * 64)),
        aged_file(root.blobs / "ff" / ("F" * 64)),
        aged_file(root.blobs / "ff" / "x" / "y"),
        aged_file(root.path / ".cache" / "x"),
        aged_file(folder.path / "views" / aside),
        aged_file(prefix / "w0000-e0001.jzst", content=(prefix / "w0000-e0001.jzst").read_bytes()),
    ]
    dry = collect(root, dry_run=True)
    assert {**SIZES, "temporary": 2, "aside": 1} == counts(dry)
    assert all(path.exists() for path in gone)
    done = collect(root)
    assert dry == done
    assert [] == [path for path in gone if path.exists()]
    assert [] == [path for path in kept if not path.exists()]
    assert 12 == done.freed
    assert 5 == done.unknown


@pytest.mark.parametrize(
    ("state", "left", "goes"),
    [
        ("ended", b"", True),
        ("ended", encode_record(1, 5, b"more"), False),  # it is nowhere else
        ("ended", b"\1\2", False),  # half a record
        ("ended", b"\7" * 20, False),  # none
        ("running", b"", False),
        ("young", b"", False),
    ],
)
def test_spools(root, state, left, goes):
    """A spool goes when its run is over and the journal has all of it; else it is the only copy."""
    folder = root.claim()
    record = encode_record(1, 5, b"printed\n")
    writer = JournalWriter.create(folder.journal)
    writer.append_output(1, b"printed\n", 0, len(record))
    if state != "running":
        writer.append(EventType.RUN_ENDED, how="completed", status="COMPLETED")
    writer.close()
    spool = aged_file(folder.journal / "w0000.spool", content=record + left)
    if state == "young":
        aged(spool, 1)
    assert {**SIZES, "spools": int(goes)} == counts(collect(root))
    assert spool.exists() != goes


def test_an_import_that_was_killed_goes_when_it_is_old(root):
    """What an import was unpacking when it was killed goes; one that may be at work stays."""
    old, young = root.path / ".import-12-ab", root.path / ".import-13-cd"
    for folder in (old, young):
        aged_file(folder / "journal" / "w0000-e0001.jzst", content=b"12345")
    aged(old)
    link = root.path / ".import-14-ef"
    os.symlink(root.blobs, link)
    done = collect(root)
    assert (not old.exists(), young.exists(), link.is_symlink()) == (True, True, True)
    assert 5 == done.freed


def test_links_among_the_blobs_are_not_followed(root, blob, tmp_path):
    """A link in the store, to a file or a folder: neither it nor what it leads to is touched."""
    elsewhere = aged_file(tmp_path / "elsewhere" / ("a" * 64))
    (root.blobs / "bb").mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere", root.blobs / "aa")
    link = root.blobs / "bb" / ("b" * 64)
    os.symlink(elsewhere, link)
    aged(link)
    done = collect(root)
    assert ({**SIZES}, 2) == (counts(done), done.unknown)
    assert elsewhere.exists()
    assert link.is_symlink()


def test_a_store_that_is_a_link_may_be_shared(root, blob, tmp_path):
    """What another root's runs name is not known here."""
    orphan = blob("orphan")
    os.rename(root.blobs, tmp_path / "blobs")
    os.symlink(tmp_path / "blobs", root.blobs)
    done = collect(root)
    assert ([("blobs", True)], 1) == ([o[::2] for o in done.obstacles], done.unneeded)
    assert {**SIZES, "blobs": 1} == counts(collect(root, force=True))
    assert not orphan.exists()


def test_what_can_not_be_removed_is_told(root, blob, monkeypatch):
    """The rest goes on; the failure is a sentence."""
    paths = {blob("one"), blob("two")}
    refused = blob("refused")
    rename = os.rename

    def refuse(source, target):
        if Path(source) == refused:
            raise PermissionError(1, "Operation not permitted")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    done = collect(root)
    assert {**SIZES, "blobs": 2} == counts(done)
    assert [f"{refused}: Operation not permitted"] == done.failures
    assert [] == [path for path in paths if path.exists()]


# -- at the same time --------------------------------------------------------------------------


def at(monkeypatch, module_function, when, path, action):
    """Have something happen once, before or after the collector's call for one path."""
    real = getattr(os, module_function)
    done = []

    def call(first, *rest, **more):
        ours = (os.fspath(first).endswith(path.name)) and not done
        if ours and when == "before":
            done.append(1)
            action()
        result = real(first, *rest, **more)
        if ours and when == "after":
            done.append(1)
            action()
        return result

    monkeypatch.setattr(os, module_function, call)
    return done


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("call", ["rename", "lstat", "unlink"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("durable", [False, True])
def test_a_program_that_uses_an_old_blob_again_while_it_is_removed(
    root, store, tmp_path, monkeypatch, large, call, when, durable
):
    """Whenever a writer comes, before and after each call of the collector: the blob is there."""
    content = b"again" * (1_000_000 if large else 1)
    (tmp_path / "file").write_bytes(content)
    digest = store.put_file(tmp_path / "file").blob.digest
    path = aged(store.path_of(digest))
    other = BlobStore(root.blobs, durable=durable)
    happened = at(monkeypatch, call, when, path, lambda: other.put_file(tmp_path / "file"))
    collect(root)
    assert happened
    assert content == store.read(digest)
    collect(root)
    assert [path] == list(root.blobs.glob("*/*"))


@pytest.mark.parametrize("call", ["lstat", "utime", "open"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_collection_while_a_program_uses_an_old_blob_again(root, store, monkeypatch, call, when):
    """The same the other way round: a whole collection before or after each call of the writer."""
    content = b"again"
    digest = store.put_bytes(content).blob.digest
    path = aged(store.path_of(digest))
    other = BlobStore(root.blobs, durable=True)
    if call == "open":
        from sacred.journal import blobs

        real = blobs.open_regular

        def opened(name, *rest, **more):
            if str(name) == str(path) and not happened:
                happened.append(1)
                if when == "before":
                    collect(root)
                    return real(name, *rest, **more)
                file = real(name, *rest, **more)
                collect(root)
                return file
            return real(name, *rest, **more)

        happened: list[int] = []
        monkeypatch.setattr(blobs, "open_regular", opened)
    else:
        happened = at(monkeypatch, call, when, path, lambda: collect(root))
    other.put_bytes(content)
    assert happened
    assert content == store.read(digest)


def test_a_touch_that_hits_a_blob_without_a_name(root, store, monkeypatch):
    """The system finds a file and touches it in two steps: one that lost its name in between."""
    digest = store.put_bytes(b"again").blob.digest
    path = aged(store.path_of(digest))

    def late(target, *rest, **more):
        found = os.open(target, os.O_RDONLY)
        real_collect(root)
        real(found, *rest, **more)
        os.close(found)

    real, real_collect = os.utime, collect
    monkeypatch.setattr(os, "utime", late)
    for durable in (False, True):
        aged_with(real, path)
        BlobStore(root.blobs, durable=durable).put_bytes(b"again")
        assert b"again" == store.read(digest)


def aged_with(utime, path):
    utime(path, (1, 1))


def test_a_run_that_begins_during_the_collection(root, store, monkeypatch):
    """Its journal is not among those that were read; what it names stays all the same."""
    stored = [store.put_bytes(b"%d" % number).blob for number in range(3)]
    for reference in stored:
        aged(store.path_of(reference.digest))
    sweep = garbage._Collector.sweep

    def begin(self, **options):
        again = store.put_bytes(b"1").blob
        new = store.put_bytes(b"new").blob
        claimed(root, again.digest, new.digest)
        return sweep(self, **options)

    monkeypatch.setattr(garbage._Collector, "sweep", begin)
    assert {**SIZES, "blobs": 2} == counts(collect(root))
    assert {b"1", b"new"} == {path.read_bytes() for path in root.blobs.glob("*/*")}
    assert 2 == verify(root.run(1)).blobs


def test_a_fast_clock_makes_nothing_old(root, blob, monkeypatch):
    """The files' dates come from the server of a network disk; so does what is old."""
    path = blob("stored a moment ago", days=0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 30 * DAY)
    assert {**SIZES} == counts(collect(root))
    assert path.exists()
    assert [] == list(root.path.glob(".high-water.*"))


_COLLECTS = """
import os, signal, sys
from sacred.journal import JournalRoot
from sacred.journal.garbage import collect
count = int(sys.argv[2])
def counted(real):
    def call(*args, **more):
        global count
        count -= 1
        if count == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **more)
    return call
for name in ("rename", "link", "unlink", "replace"):
    setattr(os, name, counted(getattr(os, name)))
collect(JournalRoot(sys.argv[1]))
"""


def _collecting(root, kill_at=0):
    command = [sys.executable, "-c", _COLLECTS, str(root.path), str(kill_at)]
    return subprocess.Popen(command)


def test_a_kill_in_the_middle_costs_no_blob(root, blob):
    """Killed before each call that changes a name: used blobs stay, and the next one finishes."""
    used = [blob(f"used {number}") for number in range(3)]
    claimed(root, *(path.name for path in used))
    for kill_at in range(1, 6):
        orphans = [blob(f"orphan {number}") for number in range(3)]
        process = _collecting(root, kill_at)
        assert -signal.SIGKILL == process.wait(60)
        half = list(root.blobs.glob("*/.gc-*"))
        done = collect(root)
        assert [] == list(root.blobs.glob("*/.gc-*"))
        assert [] == [path for path in orphans if path.exists()]
        assert counts(done)["blobs"] >= len(half)
        assert all(path.exists() for path in used)


def test_what_a_killed_collection_took_aside_is_judged_again(root, store, blob):
    """It gets its name back, unless it was stored anew meanwhile; the new one is the better one."""
    used, again = blob("used"), blob("again")
    claimed(root, used.name, again.name)
    os.rename(used, used.with_name(f".gc-00000000-{used.name}"))
    cut = again.with_name(f".gc-00000001-{again.name}")
    aged_file(cut, content=b"aga")
    assert {**SIZES} == counts(collect(root))
    assert b"used" == store.read(used.name)
    assert b"again" == store.read(again.name)
    assert not cut.exists()


def test_a_disk_without_hard_links(root, store, blob, monkeypatch):
    """There the name is given back by a rename."""
    path = blob("again")

    def refuse(*args, **more):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    at(monkeypatch, "rename", "before", path, lambda: store.put_bytes(b"again"))
    assert {**SIZES} == counts(collect(root))
    assert b"again" == store.read(path.name)
    assert [path] == list(root.blobs.glob("*/*"))


def test_two_collections_and_a_program_at_once(root, store, blob):
    """Both end well; what a program uses again and again meanwhile is there in the end."""
    for number in range(300):
        blob(f"orphan {number}")
    contents = [b"used %d" % number for number in range(40)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    for content in contents:
        aged(store.path_of(store.put_bytes(content).blob.digest))
    processes = [_collecting(root) for _ in range(3)]
    end = time.monotonic() + 60
    rounds = 0
    try:
        while any(process.poll() is None for process in processes):
            assert time.monotonic() < end
            for content, digest in zip(contents, digests, strict=True):
                store.put_bytes(content)
                if not rounds:
                    aged(store.path_of(digest)) if os.path.exists(store.path_of(digest)) else None
            rounds += 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [0, 0, 0] == [process.returncode for process in processes]
    for content in contents:
        store.put_bytes(content)
    collect(root)
    assert set(digests) == {path.name for path in root.blobs.glob("*/*")}
