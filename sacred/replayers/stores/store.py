"""What a store of runs is, and the one form that its runs have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO

__all__ = ["Points", "RunStore", "StoredFile", "StoredRun"]


class StoredFile(NamedTuple):
    """A source, a resource or an artifact of a run.

    Attributes
    ----------
    name
        As the run's document has it: of a source relative to ``base_dir``, of a resource its path.
    path
        Where the file was when the run used it, as far as the store knows; else ``name``.
    md5
        What the store says of the content; None if nothing.
    open
        Opens the content for reading; None if the store does not have it.
    content_type, metadata
        Of an artifact.
    missing
        Why there is no content: half a sentence.
    """

    name: str
    path: str
    md5: str | None = None
    open: Callable[[], BinaryIO] | None = None
    content_type: str | None = None
    metadata: Any = None
    missing: str | None = None


#: A metric: its name, and (step, value, when in microseconds or None) of each point, in order.
Points = tuple[str, "Iterator[tuple[Any, Any, int | None]]"]


class StoredRun(NamedTuple):
    """A run as a store has it. Times are naive UTC.

    Attributes
    ----------
    run_id
        Its ``_id`` in the store.
    status
        As the store has it; None if it has none.
    experiment
        ``name``, ``base_dir``, ``mainfile`` and what else stands there, but for sources,
        dependencies and repositories.
    output
        Yields what was captured, in pieces; may be called once.
    metrics
        Yields the metrics, one after the other; may be called once.
    tags, notes
        What Omniboard wrote about the run.
    journal_id
        16 hex digits: of the journal that this is a view of; None of a run that Sacred wrote.
    losses
        What can not be carried, a sentence each. Reading output, metrics and files may add some.
    """

    run_id: int | str
    command: str
    status: str | None
    start_time: dt.datetime | None
    heartbeat: dt.datetime | None
    stop_time: dt.datetime | None
    queue_time: dt.datetime | None
    experiment: dict[str, Any]
    dependencies: list[Any]
    repositories: list[Any]
    config: dict[str, Any]
    meta: dict[str, Any]
    host: dict[str, Any]
    info: dict[str, Any]
    result: Any
    fail_trace: list[str] | None
    sources: list[StoredFile]
    resources: list[StoredFile]
    artifacts: list[StoredFile]
    output: Callable[[], Iterable[str]]
    metrics: Callable[[], Iterable[Points]]
    tags: list[str]
    notes: str | None
    journal_id: str | None
    losses: list[str]


class RunStore(Protocol):
    """Reads the runs of one store, and changes nothing in it.

    Use: ``open``, then any number of ``runs`` and ``read``, then ``close``. One thread at a time.

    Attributes
    ----------
    kind
        ``file``, ``mongo``, ``tinydb`` or ``sql``.
    name
        The address for people, without a password.
    lacks
        What no run of this kind of store has: half sentences.
    """

    kind: str
    name: str
    lacks: tuple[str, ...]

    def open(self) -> None:
        """Connect, and look whether this is a store of runs.

        Raises
        ------
        StoreError
            It is none, or can not be read.
        SinkError
            The server does not answer, or refuses.
        """
        ...

    def runs(self) -> list[int | str]:
        """Return the ids of all runs, the oldest first. What is in them is not looked at."""
        ...

    def read(self, run_id: int | str, *, partial: bool = False) -> StoredRun:
        """Read one run; files, output and metrics are read when they are asked for.

        Parameters
        ----------
        run_id
            As ``runs`` has it.
        partial
            Leave out what is damaged, and say so in ``losses``.

        Raises
        ------
        StoredRunError
            It can not be read, or a part of it is damaged and ``partial`` is false. So do its
            ``output`` and ``metrics``.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
