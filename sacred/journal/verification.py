"""Looking a journal over: is every event there and whole, and are its blobs?"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from sacred.journal.epoch_file import EpochFile
from sacred.journal.errors import BlobError
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, newest_file, run_liveness
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.reader import JournalReader
from sacred.journal.references import decode_checked, files_of, references, references_within
from sacred.journal.root import epoch_file_name
from sacred.journal.spool import SPOOL, flaws_from, spooled_to
from sacred.journal.verdicts import Foreign, Gap, Tail, Unindexed, is_damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sacred.journal.blobs import BlobStore
    from sacred.journal.codec import BlobReference
    from sacred.journal.root import RunFolder
    from sacred.journal.spool import SpoolFlaw
    from sacred.journal.verdicts import Verdict


class Report(NamedTuple):
    """What was found.

    Attributes
    ----------
    journal_id
        Of the journal; 0 if no frame of it is whole.
    events
        How many sequence numbers were read.
    points
        How many metric points are among them.
    frames
        How many frames they stand in.
    files
        How many files the journal has.
    size
        How many bytes these have.
    verdicts
        What is wrong, in the order it was met, the unfinished end last.
    blobs
        How many blobs the journal names.
    blob_errors
        A sentence for each that is missing or damaged.
    liveness
        Whether the run lives, has ended or died.
    spool
        What can not be read of the output that is not in the journal yet.
    sealed
        No seal takes in more of that output: the last file of the first writer in which anything is
        whole is sealed, or there is none.
    """

    journal_id: int
    events: int
    points: int
    frames: int
    files: int
    size: int
    verdicts: list[Verdict]
    blobs: int
    blob_errors: list[str]
    liveness: Liveness
    spool: tuple[SpoolFlaw, ...] = ()
    sealed: bool = False

    @property
    def verdict(self) -> str:
        """``clean``, ``tail``, ``gap``, ``foreign``, ``index`` or ``spool``: the worst of all.

        An end that is not whole is clean while its writer lives, and where the writer went on in
        another file; else it is a ``tail``, which is what a kill leaves and no damage, or a ``gap``
        where no kill leaves such an end. What was lost before a repair, and what the run itself
        told to be lost, is clean, too: it is named, and no news. ``index``: no event is lost, but
        what stands behind the events of a sealed file is damaged. ``spool``: what the journal has
        is whole, but what was printed and is on its way into it can not all be read.
        """
        lives = self.liveness is Liveness.RUNNING
        found = [v for v in self.verdicts if not (lives and self._may_pass(v))]
        damage = [verdict for verdict in found if is_damage(verdict)]
        for kinds, name in (((Gap, Tail), "gap"), (Foreign, "foreign"), (Unindexed, "index")):
            if any(isinstance(verdict, kinds) for verdict in damage):
                return name
        if self.spool:
            return "spool"
        tails = [verdict for verdict in found if isinstance(verdict, Tail)]
        return "tail" if any(not tail.superseded for tail in tails) else "clean"

    def _may_pass(self, verdict: Verdict) -> bool:
        """Tell whether a writer that lives may yet make an end whole.

        Not noise from the first byte of the run's own file on, beside whole files of its workers:
        these began when that had a whole frame.
        """
        if not isinstance(verdict, Tail):
            return False
        own = (verdict.writer, verdict.epoch, verdict.offset) == (0, 1, 0)
        return not (own and verdict.damaged and self.frames)

    @property
    def clean(self) -> bool:
        """Whether nothing is damaged, neither events nor blobs: the verdict may be ``tail``."""
        return self.verdict in {"clean", "tail"} and not self.blob_errors


def verify(folder: RunFolder, *, blobs: BlobStore | None = None) -> Report:
    """Read a run's journal through and, if a store is given, every blob it names.

    Also those that a value names which itself became a blob: the files of a large folder. Changes
    nothing, and may be called while the run goes on, from any thread. Bounded in memory: one frame
    at a time, or one value that was too large for an event.

    Parameters
    ----------
    folder
        The run's.
    blobs
        Where its blobs are, to have each read and held against its name; None to leave them out.

    Returns
    -------
    What was found, of the events and blobs as they were at that moment. That it is ``clean`` proves
    every byte that was read; not that a file which was never sealed had no more
    (``docs/journal-format.md``, section 10).

    Raises
    ------
    NotAJournalError
        The folder holds none.
    NewerFormatError
        It needs a newer version of this package.
    JournalUnreadableError
        The system does not let us read it.
    """
    reader = JournalReader(folder.journal, table_decoder=decode_checked)
    try:
        return _verified(reader, folder, blobs)
    finally:
        reader.close()


def _verified(reader: JournalReader, folder: RunFolder, blobs: BlobStore | None) -> Report:
    named: dict[str, BlobReference] = {}
    lists: set[str | None] = set()
    events = points = frames = spool_end = 0
    children: list[int] = []
    for frame in reader.poll():
        events += frame.count
        frames += 1
        for event in frame.events:
            if event.type in {EventType.METRIC_POINT, EventType.METRIC_TABLE}:
                points += event.count
            if event.type == EventType.CHILD_SEEN and type(event.fields.get("writer")) is int:
                children.append(event.fields["writer"])
            spool_end = max(spool_end, spooled_to(event))
            for reference in references(event):
                named[reference.digest] = reference
            lists.add(files_of(event))
    verdicts = [*reader.verdicts, *reader.tails(), *vanished(reader, children)]
    verdicts += unindexed(reader, verdicts)
    if not reader.journal_id:
        verdicts = verdicts or [Foreign(0, 1, 0, 0, "no whole frame")]
    errors = [] if blobs is None else list(_blob_errors(named, lists, blobs))
    sizes = list(_sizes(reader))
    newest = newest_file(reader)
    return Report(
        reader.journal_id,
        events,
        points,
        frames,
        len(sizes),
        sum(sizes),
        verdicts,
        len(named),
        errors,
        # The file that would tell more is gone, and told of as lost: nobody writes it.
        run_liveness(folder) if reader._epochs(0) else Liveness.DIED,
        tuple(flaws_from(reader.folder / SPOOL, spool_end)),
        newest is None or reader._is_sealed(0, newest),
    )


def _sizes(reader: JournalReader) -> Iterator[int]:
    for writer, epochs in reader._listing.items():
        for epoch in epochs:
            try:
                yield os.stat(reader.folder / epoch_file_name(writer, epoch)).st_size
            except OSError:  # gone meanwhile: said where it is read
                yield 0


def _blob_errors(
    named: dict[str, BlobReference], lists: set[str | None], blobs: BlobStore
) -> Iterator[str]:
    """Yield what is wrong with the blobs; those that they name in turn are added to ``named``."""
    waiting = deque(named.values())
    while waiting:
        reference = waiting.popleft()
        try:
            if reference.encoding == "msgpack":
                content = blobs.read(reference.digest)
                size = len(content)
                for inner in references_within(content, files=reference.digest in lists):
                    if inner.digest not in named:
                        named[inner.digest] = inner
                        waiting.append(inner)
            else:
                size = blobs.check(reference.digest)
        except (BlobError, OSError) as error:
            yield str(error)
        else:
            if size != reference.size:
                yield f"blob {reference.digest} has {size} bytes, not {reference.size}"


def vanished(reader: JournalReader, children: Iterable[int]) -> list[Gap]:
    """Return what is lost of the writers whose files were there for certain, and are not any more.

    Those are the first writer, without which there is no other, and the ones that it saw.
    """
    reader._list()  # a child's file is there before the event that names it
    why = "the first writer saw the file, and it is not there"
    found = [Gap(child, 1, 0, 0, -1, why) for child in children if not reader._epochs(child)]
    if reader.journal_id and not reader._epochs(0):
        found.insert(0, Gap(0, 1, 0, 0, -1, "files of other writers are there, and it is not"))
    return found


def unindexed(reader: JournalReader, verdicts: Iterable[Verdict]) -> list[Unindexed]:
    """Return the sealed files with whole events and something damaged behind them.

    Parameters
    ----------
    reader
        Has read the journal to its present end.
    verdicts
        What it found: of a file whose events are damaged nothing is said here.
    """
    from sacred.journal.seal_index import why_unindexed

    damaged = {(v.writer, v.epoch) for v in verdicts if is_damage(v)}
    found = []
    for writer, epoch in reader.seals:
        if (writer, epoch) in damaged:
            continue
        file = EpochFile.of(reader.folder, writer, epoch)
        try:
            flaw = file.look(why_unindexed)
        except OSError:
            continue  # removed meanwhile, or said where it was read
        finally:
            file.close()
        if flaw is not None:
            found.append(Unindexed(writer, epoch, *flaw))
    return found
