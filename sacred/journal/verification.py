"""Looking a journal over: is every event there and whole, and are its blobs?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sacred.journal.codec import BlobReference
from sacred.journal.errors import BlobError
from sacred.journal.events import EventType
from sacred.journal.liveness import Liveness, run_liveness
from sacred.journal.reader import JournalReader
from sacred.journal.references import decode_checked, references
from sacred.journal.verdicts import Foreign, Gap, Tail, is_damage

if TYPE_CHECKING:
    from sacred.journal.blobs import BlobStore
    from sacred.journal.root import RunFolder
    from sacred.journal.verdicts import Verdict


class Report(NamedTuple):
    """What was found.

    Attributes
    ----------
    events
        How many sequence numbers were read.
    files
        How many files the journal has.
    verdicts
        What is wrong, in the order it was met, the unfinished end last.
    blobs
        How many blobs the journal names.
    blob_errors
        A sentence for each that is missing or damaged.
    liveness
        Whether the run lives, has ended or died.
    """

    journal_id: int
    events: int
    files: int
    verdicts: list[Verdict]
    blobs: int
    blob_errors: list[str]
    liveness: Liveness

    @property
    def verdict(self) -> str:
        """``clean``, ``tail``, ``gap`` or ``foreign``: the worst that was found.

        An end that is not whole is clean while its writer lives, and where the writer went on in
        another file. What was lost before a repair is clean, too: it is named, and no news.
        """
        damage = [verdict for verdict in self.verdicts if is_damage(verdict)]
        if damage:
            return "gap" if any(isinstance(verdict, Gap) for verdict in damage) else "foreign"
        tails = [verdict for verdict in self.verdicts if isinstance(verdict, Tail)]
        if any(not tail.superseded for tail in tails) and self.liveness is not Liveness.RUNNING:
            return "tail"
        return "clean"

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong with events and blobs."""
        return self.verdict == "clean" and not self.blob_errors


def verify(folder: RunFolder, *, blobs: BlobStore | None = None) -> Report:
    """Read a run's journal through and, if a store is given, every blob it names.

    Changes nothing. Bounded in memory: one frame at a time.

    Raises
    ------
    NotAJournalError, NewerFormatError
    """
    reader = JournalReader(folder.journal, table_decoder=decode_checked)
    named: dict[str, BlobReference] = {}
    events = 0
    children: list[int] = []
    for frame in reader.poll():
        events += frame.count
        for event in frame.events:
            if event.type == EventType.CHILD_SEEN and type(event.fields.get("writer")) is int:
                children.append(event.fields["writer"])
            for reference in references(event):
                named[reference.digest] = reference
    verdicts = [*reader.verdicts, *reader.tails(), *vanished(reader, children)]
    if not reader.journal_id:
        verdicts = verdicts or [Foreign(0, 1, 0, 0, "no whole frame")]
    errors = []
    if blobs is not None:
        for digest, reference in named.items():
            try:
                size = blobs.check(digest)
            except (BlobError, OSError) as error:
                errors.append(str(error))
            else:
                if size != reference.size:
                    errors.append(f"blob {digest} has {size} bytes, not {reference.size}")
    files = sum(len(epochs) for epochs in reader._listing.values())
    liveness = run_liveness(folder)
    return Report(reader.journal_id, events, files, verdicts, len(named), errors, liveness)


def vanished(reader: JournalReader, children: list[int]) -> list[Gap]:
    """Return what is lost of the writers whose files the first writer saw, and that are not there."""
    reader._list()  # a child's file is there before the event that names it
    why = "the first writer saw the file, and it is not there"
    return [Gap(child, 1, 0, 0, -1, why) for child in children if not reader._epochs(child)]
