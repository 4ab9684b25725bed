"""The contract of a view: what a sink is given, and what it promises.

A *sink* writes runs into one place (a database, a folder). It is given *batches*: the changes of
one run, and the position in that run's journal up to which they go. It stores both in one atomic
step, so that whatever is killed when, the view and its position never disagree. A repeated batch is
harmless. That is all a sink has to know; retries, back-off and order are the follower's business.

To write a sink of your own: a class with the methods of :class:`Sink` (for many places
:class:`sacred.replayers.document_sink.DocumentSink` has most of them), an entry point in the group
``sacred.sinks`` that names it, and a test class that inherits
:class:`sacred.replayers.contract.SinkContract`. ``docs/write-a-sink.md`` does all three.

Values here are named tuples, not dataclasses: the file view is claimed inside the user's process,
and ``dataclasses`` costs that 5 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sacred.journal.position import Position

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sacred.journal.root import RunFolder
    from sacred.replayers.annotations import Annotations

__all__ = [
    "OWNED_FIELDS",
    "AttendingSink",
    "Batch",
    "Change",
    "FieldsChanged",
    "FileEntry",
    "OutputChanged",
    "PointsAdded",
    "RunKey",
    "Sink",
    "SinkSpec",
    "TakingSink",
    "ViewPosition",
    "view_name",
    "wanted_id",
]


class SinkSpec(NamedTuple):
    """Which view is wanted, as plain data.

    Attributes
    ----------
    kind
        The registered name of the sink's class: ``file``, ``mongo``, ``memory``.
    url
        Where: a folder, a ``mongodb://`` address. May hold a password: never show it, show
        ``name``.
    options
        What else the sink's class understands; plain JSON.
    name
        For people and logs, without secrets. Unique among the views of a run.
    """

    kind: str
    url: str
    options: Mapping[str, Any]
    name: str

    def to_wire(self) -> dict[str, Any]:
        """Return the map that processes send to each other."""
        return {
            "kind": self.kind,
            "url": self.url,
            "options": dict(self.options),
            "name": self.name,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> SinkSpec:
        """Read what ``to_wire`` gave.

        Raises
        ------
        SinkSpecError
            It is something else.
        """
        from sacred.replayers.errors import SinkSpecError

        try:
            kind, url = str(wire["kind"]), str(wire["url"])
            options = dict(wire.get("options") or {})
        except (KeyError, TypeError, ValueError) as error:
            raise SinkSpecError(
                f"not the specification of a view: {type(error).__name__}"
            ) from None
        return cls(kind, url, options, str(wire.get("name") or view_name(kind, url)))

    @classmethod
    def parse(cls, text: str) -> SinkSpec:
        """Read what a person writes: ``file:DIR``, ``mongodb://host/db``, ``memory:``.

        A bare ``mongo`` has an empty ``url``: as each run declared it, else the server of this
        machine.

        Raises
        ------
        SinkSpecError
            It names no view that is known; the text names those that are.
        """
        from sacred.replayers.registry import parse_spec

        return parse_spec(text)

    @property
    def key(self) -> str:
        """A file name that is the same for the same place, whoever names it; without secrets."""
        import hashlib
        import json

        names = ("db_name", "collection", "collection_prefix", "endpoint_url")
        defaults = {"collection": "runs"}
        options = {
            name: value
            for name in names
            if (value := self.options.get(name)) not in (None, "", defaults.get(name))
        }
        url = _place(self.url)
        if "db_name" in options:  # which then says it, wherever the address says it too
            scheme, separator, rest = url.partition("://")
            url = scheme + separator + rest.partition("/")[0]
        place = json.dumps([self.kind, url, options], sort_keys=True, default=str)
        return f"{self.kind}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"

    def __repr__(self) -> str:
        """Show the name: the address may hold a password."""
        return f"<SinkSpec {self.name}>"


def view_name(kind: str, url: str) -> str:
    """Return a name for a view, without user and password."""
    return f"{kind}:{_place(url)}" if url else kind


def _place(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    servers, slash, path = rest.partition("/")
    return scheme + separator + servers.rpartition("@")[2] + slash + path.partition("?")[0]


class RunKey(NamedTuple):
    """The run a sink is asked about.

    Attributes
    ----------
    journal_id
        16 hex digits: the run's identity everywhere, for ever.
    run_id
        ``_run._id``: the id the run would like to have in the view. An int, a text, or None. A
        hint where to look for it as well.
    fields
        The run's document as far as it is known, for ``claim``; may be empty.
    """

    journal_id: str
    run_id: Any = None
    fields: Mapping[str, Any] = {}


class FileEntry(NamedTuple):
    """A file that belongs to a run.

    In the fields of a batch it stands where the file is named (``experiment.sources``,
    ``resources``, ``artifacts``); the sink writes there what its form asks for.

    Attributes
    ----------
    role
        ``source``, ``resource`` or ``artifact``.
    name
        Path relative to ``base_dir``; absolute path; name of the artifact.
    path
        Absolute path it was read from.
    digest
        sha256 of the content; None if it could not be stored.
    md5
        Of the content, or None.
    size
        In bytes.
    content_type
        Media type, or None.
    metadata
        The user's own.
    version
        Counts artifacts of one name, from 1.
    added
        When it was recorded, in nanoseconds since the epoch, UTC; 0 but for observers, which are
        told of each file when it comes.
    """

    role: str
    name: str
    path: str
    digest: str | None
    md5: str | None = None
    size: int = 0
    content_type: str | None = None
    metadata: Any = None
    version: int = 1
    added: int = 0

    @property
    def key(self) -> tuple[str, str, str | None, int]:
        """What tells it from the other files of the run; hashable."""
        return self.role, self.name, self.digest, self.version


class FieldsChanged(NamedTuple):
    """Top-level fields of the run's document, as whole new values.

    Values are plain: dicts with text keys, lists, numbers, text, None, naive UTC datetimes, and
    ``FileEntry`` where files are named. ``removed`` names fields that the document no longer has.
    ``annotations``, if they changed: what people said of the run, all of it. A place whose clients
    show such things, and let people write them, joins them with what is written there
    (``annotated`` of the sink says so); every other one leaves them alone.
    """

    fields: dict[str, Any]
    removed: tuple[str, ...] = ()
    annotations: Annotations | None = None


class OutputChanged(NamedTuple):
    """The run's output: the first ``keep`` characters stay, then comes ``text``."""

    keep: int
    text: str


class PointsAdded(NamedTuple):
    """Points of one metric, in the order in which they were folded.

    Attributes
    ----------
    metric
        The name.
    writers, seqs
        Which writer of the journal logged each point, and under which sequence number. Those of
        one writer increase. By them a sink knows a point that comes again: see ``beyond``.
    steps, values
        As they were logged; plain.
    times
        Microseconds since the epoch, UTC.
    """

    metric: str
    writers: list[int]
    seqs: list[int]
    steps: list[Any]
    values: list[Any]
    times: list[int]

    def beyond(self, next_seqs: Mapping[int, int]) -> PointsAdded | None:
        """Return the points that are new, or None.

        Parameters
        ----------
        next_seqs
            Per writer the sequence number behind the last point of this metric that is there.
        """
        first = {writer: next_seqs.get(writer, 0) for writer in set(self.writers)}
        if not any(first.values()):
            return self if self.seqs else None
        if len(first) == 1 and self.seqs[0] >= next(iter(first.values())):
            return self  # those of one writer increase
        rows = [
            row
            for row, (writer, seq) in enumerate(zip(self.writers, self.seqs, strict=True))
            if seq >= first[writer]
        ]
        if len(rows) == len(self.seqs):
            return self
        return self.rows(rows) if rows else None

    def rows(self, rows: list[int]) -> PointsAdded:
        """Return some of the points."""
        columns = ([column[row] for row in rows] for column in self[1:])
        return PointsAdded(self.metric, *columns)

    def next_seqs(self) -> dict[int, int]:
        """Return per writer the sequence number behind its last point."""
        if len(set(self.writers)) == 1:
            return {self.writers[-1]: self.seqs[-1] + 1}
        return {writer: seq + 1 for writer, seq in zip(self.writers, self.seqs, strict=True)}


Change = FieldsChanged | OutputChanged | PointsAdded

#: The fields of a run's document that belong to the journal. All others are other people's.
OWNED_FIELDS = (
    "experiment",
    "command",
    "host",
    "start_time",
    "config",
    "meta",
    "status",
    "resources",
    "artifacts",
    "info",
    "heartbeat",
    "result",
    "stop_time",
    "fail_trace",
)


class Batch(NamedTuple):
    """Changes of one run, and where its view stands with them.

    Attributes
    ----------
    run
        The run.
    changes
        In any order; at most one ``FieldsChanged`` and one ``OutputChanged``.
    position
        Behind everything that is in the view once this batch is. Points and fields may lie ahead of
        it; they come again after a restart, and are recognised or are whole values.
    projector
        Version of the projection that made the changes.
    order
        ``"arrival"`` or ``"time"``: in which order several writers' events were folded.
    metrics
        Names of all the run's metrics so far, in the order in which they appeared.
    references
        What ``put_file`` returned for the files named in the changes, by ``FileEntry.key``.
    ahead
        Behind the last event that was folded: points of the batch may lie up to here.
    complete
        Nothing waits behind this batch: documents that are finished seldom are finished now.
    spool
        Offset up to which the output holds what a spool has beyond the journal (a run that was
        killed leaves some); kept beside the position.
    """

    run: RunKey
    changes: tuple[Change, ...]
    position: Position
    projector: int = 1
    order: str = "arrival"
    metrics: tuple[str, ...] = ()
    references: Mapping[tuple[str, str, str | None, int], Any] = {}
    complete: bool = True
    spool: int = 0
    ahead: Position = Position()


class ViewPosition(NamedTuple):
    """Where a run's view stands, as the sink finds it.

    Attributes
    ----------
    view_id
        The run's id in the view.
    position
        As the last batch said; empty if the run was only claimed.
    projector, order, spool
        As the last batch said.
    ahead
        Per writer the farthest point that is in the view, which may be more than ``position``.
        The follower checks that the journal still holds it.
    points
        How many points of each metric the view has; None if the sink does not count.
    claimed
        Nothing but the claim is there.
    flaw
        What of the view's own files is damaged, in a few words, so that the run has to be written
        anew there, under its id; None if all is well.
    told
        ``Annotations.digest`` of the annotations that it was told of last; empty if of none.
    """

    view_id: Any
    position: Position
    projector: int
    order: str = "arrival"
    ahead: Position = Position()
    points: Mapping[str, int] | None = None
    claimed: bool = False
    spool: int = 0
    flaw: str | None = None
    told: str = ""


class Sink(Protocol):
    """Writes runs into one place.

    A sink is made from a ``SinkSpec`` by ``cls(spec)``; making one neither connects nor creates
    anything. One thread uses it at a time. Every method but ``close`` raises
    ``TransientSinkError`` (not now) or ``TerminalSinkError`` (not at all; the text says what to do)
    and nothing else for what the other side does; no text holds a password.

    A sink whose place shows what people say of a run has an attribute ``annotated`` that is True:
    it is told of it whenever that changes, and ``ViewPosition.told`` says of what it was told last.

    Attributes
    ----------
    rewrites
        What the form has to write whole in order to grow: of ``"output"`` and ``"points"``. The
        follower then sends the whole output (``keep`` 0), and holds growth back so that the cost
        of a run stays linear. ``"rendered"``: some documents are finished only when a batch is
        complete; an empty complete batch comes for them. ``"whole"``: every write costs all that is
        there, of which the sink's attribute ``weight`` is the size in bytes; batches then wait until
        they are worth it. ``"journal"``: the sink takes no changes, it copies the run's own files
        (``AttendingSink``); a batch says that there is something to copy.

    Notes
    -----
    A class may have more: ``parse(text)``, which makes a ``SinkSpec`` of an address, or ``options``,
    the names that may stand behind the ``?`` of one. And a sink: ``attend`` (:class:`AttendingSink`);
    ``take_up`` and ``takes_unasked`` (:class:`TakingSink`); ``priority``, by which several views are ordered, the highest first; ``profile``, for whom the
    values are (``RunProjection``); ``view_id``, if the place gives the run an id when it is written.
    """

    @property
    def rewrites(self) -> frozenset[str]:
        """See above."""
        ...

    def open(self) -> None:
        """Connect; look that the place is there and can be written. May be called again."""
        ...

    def claim(self, run: RunKey) -> Any:
        """Give the run its id in this view, and return it.

        ``run.run_id`` if it is an integer above 0 (or text of one) and free here, else the next
        free integer; another text may be kept where the place can have it. Remembered under
        ``run.journal_id``, so that a run that has an id keeps it. Another run's entry is never
        touched. Atomic: of two who ask at once, both get the same id.
        What is written is a document of its own right, with ``run.fields`` in it, marked as
        claimed.
        """
        ...

    def clear_claims(self, max_age: float) -> int:
        """Take back claims older than ``max_age`` seconds whose process on this host is gone."""
        ...

    def release(self, run: RunKey) -> bool:
        """Take a claim back; True if there was one, and nothing but it."""
        ...

    def position(self, run: RunKey) -> ViewPosition | None:
        """Return where the run's view stands, or None if the view does not know the run.

        Asks the place itself, never a memory of it: a server may come back older.
        """
        ...

    def write(self, batch: Batch) -> None:
        """Store the changes and the position, both or neither.

        A kill after it returned takes nothing back; a power cut where the view is kept may.
        A repeat of a batch, or of a part of one, changes nothing. Points may be stored ahead of
        the position if the sink recognises them when they come again (``PointsAdded.seqs``).
        Fields that the batch does not name are left alone: others own them.

        Raises
        ------
        ViewMovedError
            The view does not stand where ``position`` or the last ``write`` left it.
        """
        ...

    def put_file(self, run: RunKey, entry: FileEntry, blob: Path | None) -> Any:
        """Store a file before it is named; return what stands for it in this view.

        ``blob`` holds the content; None if the journal has none. A repeat is harmless.
        """
        ...

    def reset(self, run: RunKey) -> None:
        """Forget what this view has of the run, but not its id nor the fields others own.

        The position is empty afterwards. Used before a run is written anew.
        """
        ...

    def close(self) -> None:
        """Give back connections and files; never raises."""
        ...


class AttendingSink(Sink, Protocol):
    """A sink that has to know which run folder it is used for.

    Most places keep a run's position themselves. One that can not (a chat, somebody's own observer)
    keeps it on this machine, beside what ``sacred ls`` shows of the view.
    """

    def attend(self, folder: RunFolder) -> None:
        """Learn the folder of the run that is written, once, before ``open``.

        What the sink has to remember of this run lies in ``folder.views``, in files whose names
        begin with a dot and the key of its specification. An observer that is called directly has
        no folder: then this is not called, and the sink remembers for as long as it lives.
        """
        ...


class TakingSink(Sink, Protocol):
    """A sink that claims a run and stands ready to write it in one call.

    ``claim`` and then ``position`` ask a place for what it said a moment ago. A replayer that
    writes at once calls ``take_up`` in their stead, where a sink has it.

    Attributes
    ----------
    takes_unasked
        Optional. ``take_up`` may also be called of a run that ``position`` was not asked for, as far
        as this machine remembers the view's never: it, or the ``write`` behind it, says that the run
        is there as it says that another replayer was faster. Who learns so sets it to False, and
        asks first from then on.
    """

    def take_up(self, run: RunKey) -> ViewPosition:
        """Claim a run that ``position`` did not find just now, or, see above, was not asked for.

        The next call that changes the run is a ``write`` of all that there is, so whatever that
        writes anyway may be left out of the claim: ``run.fields`` are a hint. Where the ``write``
        can make the claim as well, there may be none before: ``view_id`` is None then, and the
        sink's attribute ``view_id`` is the run's once it is written. That ``position``
        found nothing may be believed where the place itself notices, at this call or at the
        ``write``, if another replayer was faster.

        Raises
        ------
        ViewMovedError
            Another replayer took it up meanwhile: the follower asks for the position again.
        """
        ...


def wanted_id(run_id: Any) -> int | None:
    """Return the id a run would like to have, if a view can give it."""
    if isinstance(run_id, str) and run_id.isdecimal() and run_id.isascii():
        run_id = int(run_id[:20])
    if isinstance(run_id, int) and not isinstance(run_id, bool) and 0 < run_id < 1 << 53:
        return run_id
    return None
