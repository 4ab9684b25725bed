"""Runs as files for other programs: JSON Lines, Parquet, CSV, a database of DuckDB.

Nothing of it is needed to keep runs: the journals are. (To move a run there are bundles, see
:mod:`sacred.journal.bundle`.)
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from sacred.analysis.details import event_lines
from sacred.analysis.loader import Loader, create_relations
from sacred.journal.errors import JournalError, OutputPlaceError
from sacred.journal.new_file import free_place, new_file
from sacred.journal.root import RunFolder, fsync_folder
from sacred.replayers.errors import QueryError
from sacred.replayers.jsontext import to_json
from sacred.replayers.parquet_files import copy_rows, quoted, set_up
from sacred.replayers.plain import plain_text
from sacred.replayers.relations import RELATIONS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from sacred.analysis.root_choice import RootChoice

    #: Is called before each run with how many were read, how many there are, and which comes.
    Told = Callable[[int, int, RunFolder], object]


__all__ = ["Exported", "csv_tables", "parquet", "run_lines", "snapshot", "write_lines"]

#: What DuckDB may take while it writes; the rest waits in a file beside the tables.
_MEMORY = "512MB"


class Exported(NamedTuple):
    """What was written.

    Attributes
    ----------
    path
        Of the file or the folder.
    rows
        Lines of the file, or rows by table.
    problems
        A sentence for each thing that is wrong with the runs, and so is not in it.
    """

    path: Path
    rows: int | dict[str, int]
    problems: list[str]


class _Watched(list[RunFolder]):
    """Folders of runs that tell whoever asks which one is walked through."""

    def __init__(self, folders: Sequence[RunFolder], told: Told | None) -> None:
        super().__init__(folders)
        self._tell = told

    def part(self, folders: Sequence[RunFolder], before: int) -> _Watched:
        """Return a part of them, before which so many are walked through."""
        tell = self._tell
        if tell is None:
            return _Watched(folders, None)
        return _Watched(folders, lambda done, _, folder: tell(before + done, len(self), folder))

    def __iter__(self) -> Iterator[RunFolder]:
        for number, folder in enumerate(super().__iter__()):
            if self._tell is not None:
                self._tell(number, len(self), folder)
            yield folder


def run_lines(
    folders: Sequence[RunFolder],
    problems: list[str],
    *,
    numbered: bool,
    choice: RootChoice | None = None,
) -> Iterator[str]:
    """Yield every event of some runs as a line of JSON, run after run.

    Parameters
    ----------
    folders
        Of the runs. Those that hold nothing have no lines.
    problems
        Gets a sentence for each thing that is wrong with a run; what could be read is there.
    numbered
        Have each line begin with the number of its run. Without, the lines are those of
        ``sacred events``.
    choice
        The roots of the runs: where several were asked for, each line has the run's root, too, and
        so has each sentence.

    Notes
    -----
    Bounded in memory: a frame of each writer.
    """
    for folder in folders:
        if folder.holds_nothing():
            continue
        run = folder.number if folder.number is not None else folder.path
        root = _root_name(folder, choice)
        named = "" if root is None else f'"root": {to_json(plain_text(root))}, '
        head = f'{{{named}"run": {"null" if folder.number is None else folder.number}, '
        wrong: list[str] = []
        try:
            for line in event_lines(folder, wrong):
                yield head + line[1:] if numbered else line
        except (JournalError, OSError) as error:
            if len(folders) == 1:
                raise
            wrong.append(str(error))
        said = f"run {run}" if root is None else f"{root}: run {run}"
        problems += [f"{said}: {problem}" for problem in wrong]


def _root_name(folder: RunFolder, choice: RootChoice | None) -> str | None:
    """Return what a run's root is called, where that is to be told."""
    return choice.name_of(folder.place) if choice is not None and choice.several else None


def write_lines(
    folders: Sequence[RunFolder],
    path: str | os.PathLike[str],
    *,
    numbered: bool,
    overwrite: bool = False,
    told: Told | None = None,
    choice: RootChoice | None = None,
) -> Exported:
    """Write every event of some runs into a file of JSON Lines, in UTF-8.

    The file appears when it is whole and durable. For the parameters see ``run_lines``; ``told`` is
    called before each run with how many were read, how many there are, and which comes.

    Raises
    ------
    OutputPlaceError
        Something is there already, or can not be.
    NotAJournalError, NewerFormatError, JournalUnreadableError
        It is one run, and can not be read.
    OSError
        The disk refuses.
    """
    problems: list[str] = []
    count = 0
    with new_file(path, overwrite=overwrite) as file:
        watched = _Watched(folders, told)
        for line in run_lines(watched, problems, numbered=numbered, choice=choice):
            # As on stdout: what is no Unicode is shown as an escape.
            file.write(line.encode("utf-8", "backslashreplace") + b"\n")
            count += 1
    return Exported(free_place(path, overwrite=True), count, problems)


def parquet(
    folders: Sequence[RunFolder],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    told: Told | None = None,
    choice: RootChoice | None = None,
) -> Exported:
    """Write some runs into a folder of Parquet files, one a table of ``docs/queries.md``.

    Parameters
    ----------
    folders
        Of the runs. Those that hold nothing are left out; one that lies in no root is run 0.
    path
        The folder: it appears when all of it is whole and durable.
    overwrite
        Also in the place of an earlier export. A folder that holds anything else is left alone.
    told
        Is called before each run with how many were read, how many there are, and which comes.
    choice
        The roots of the runs: where several were asked for, every table has a column ``root``.

    Raises
    ------
    OutputPlaceError
        Something is there already, or can not be.
    QueryError
        Two runs have one number: no row would say whose it is.
    OSError
        The disk refuses.

    Notes
    -----
    Columns and types are those of the tables. Numbers come bit for bit, but every NaN as the same
    one. Memory: 512 MB for DuckDB, and the document of one run; the rest waits on the disk.
    """
    return _folder_of_tables(
        folders, path, "parquet", copy_rows, overwrite=overwrite, told=told, choice=choice
    )


def csv_tables(
    folders: Sequence[RunFolder],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    told: Told | None = None,
    choice: RootChoice | None = None,
) -> Exported:
    """Write some runs into a folder of CSV files, one a table of ``docs/queries.md``.

    In UTF-8, with a line of names, separated by commas; a text with a comma, a quote or an end of a
    line stands in quotes. A value that is not there is empty, an empty text is ``""``. Times are UTC,
    NaN and the infinities ``nan``, ``inf`` and ``-inf``; numbers have all their digits.

    For the parameters and what may be raised see ``parquet``.
    """
    return _folder_of_tables(
        folders, path, "csv", _copy_csv, overwrite=overwrite, told=told, choice=choice
    )


def snapshot(
    folders: Sequence[RunFolder],
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    told: Told | None = None,
    choice: RootChoice | None = None,
) -> Exported:
    """Write some runs into a database of DuckDB, with the tables of ``docs/queries.md``.

    Tables and columns have their descriptions as comments.

    Parameters
    ----------
    folders
        Of the runs. Those that hold nothing are left out; one that lies in no root is run 0.
    path
        The file: it appears when all of it is whole and durable.
    overwrite
        Also in the place of another file.
    told
        Is called before each run with how many were read, how many there are, and which comes.
    choice
        The roots of the runs: where several were asked for, every table has a column ``root``.

    Raises
    ------
    OutputPlaceError
        Something is there already, or can not be.
    QueryError
        Two runs have one number: no row would say whose it is.
    OSError
        The disk refuses.

    Notes
    -----
    It can be opened by the version of DuckDB that wrote it, and by later ones. Memory: 512 MB, and the
    document of one run; the rest waits on the disk.
    """
    runs = _numbered(folders, choice)
    target = _free_file(path, overwrite=overwrite)
    with _aside(target) as aside:
        written = aside / "snapshot"
        rows: dict[str, int] = {}
        watched = _Watched(runs, told)
        with _filled(watched, aside, str(written), choice) as (connection, problems):
            for relation in RELATIONS.values():
                table = f'"{relation.name}"'
                connection.execute(f"comment on table {table} is {quoted(relation.doc)}")
                several = choice is not None and choice.several
                for column in (ROOT, *relation.columns) if several else relation.columns:
                    place = f'{table}."{column.name}"'
                    connection.execute(f"comment on column {place} is {quoted(column.doc)}")
                found = connection.execute(f"select count(*) from {table}").fetchone()  # noqa: S608 - ours
                rows[relation.name] = int(found[0])
            connection.execute("checkpoint")
        _sync(written)
        _free_file(target, overwrite=overwrite)  # somebody may have been faster
        os.replace(written, target)
        fsync_folder(target.parent)
    return Exported(target, rows, problems)


def _folder_of_tables(
    folders: Sequence[RunFolder],
    path: str | os.PathLike[str],
    suffix: str,
    copy: Callable[[Any, str, str], int],
    *,
    overwrite: bool,
    told: Told | None,
    choice: RootChoice | None,
) -> Exported:
    """Write the tables as files of one kind into a folder."""
    runs = _numbered(folders, choice)
    target = _free_folder(path, suffix, overwrite=overwrite)
    rows = {}
    with _aside(target) as aside:
        tables = aside / "tables"
        tables.mkdir()
        watched = _Watched(runs, told)
        with _filled(watched, aside, str(aside / "duckdb"), choice) as (connection, problems):
            for name in RELATIONS:
                file = tables / f"{name}.{suffix}"
                rows[name] = copy(connection, f'"{name}"', str(file))
                _sync(file)
        fsync_folder(tables)
        _free_folder(target, suffix, overwrite=overwrite)  # somebody may have been faster
        _exchange(tables, target, aside / "before")
    return Exported(target, rows, problems)


def _numbered(folders: Sequence[RunFolder], choice: RootChoice | None) -> list[RunFolder]:
    # A journal that lies in no root has no number, and its rows need one.
    runs = [RunFolder(f.path, f.number or 0) for f in folders if not f.holds_nothing()]
    numbers = [(_root_name(folder, choice), folder.number) for folder in runs]
    if len(set(numbers)) < len(numbers):
        raise QueryError("two of these runs have the same number: export them one by one")
    return runs


def _copy_csv(connection: Any, table: str, path: str) -> int:
    done = connection.execute(
        f"copy {table} to {quoted(path)} (format csv, header true, use_tmp_file false)"
    ).fetchall()
    return int(done[0][0])


def _sync(path: Path) -> None:
    with open(path, "rb") as written:
        os.fsync(written.fileno())


@contextlib.contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Make a folder beside a place, to write in, and take it away."""
    aside = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}")
    try:
        aside.mkdir(parents=True)
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _filled(
    runs: _Watched, aside: Path, database: str, choice: RootChoice | None
) -> Iterator[tuple[Any, list[str]]]:
    """Give a database in a file with the tables of some runs, and what is wrong with these."""
    import duckdb

    try:
        with duckdb.connect(database) as connection:
            set_up(connection, memory=_MEMORY, threads=2, spilled=str(aside / "spilled"))
            connection.begin()  # else every few thousand rows are made durable
            problems = _load(connection, runs, choice)
            connection.commit()
            yield connection, problems
    except duckdb.Error as error:
        text = " ".join(str(error).split())
        raise OutputPlaceError(f"no tables can be written in {aside.parent}: {text}") from None


def _load(connection: Any, runs: _Watched, choice: RootChoice | None) -> list[str]:
    """Fill the tables; return what is wrong with the runs."""
    if choice is None or not choice.several:
        loader = Loader(connection)
        loader.load(runs)
        return loader.problems
    problems: list[str] = []
    create_relations(connection, several=True)
    of_root: dict[str, list[RunFolder]] = {}
    for number in range(len(runs)):  # walking through them would be told of
        of_root.setdefault(choice.name_of(runs[number].place), []).append(runs[number])
    before = 0
    for root, folders in of_root.items():
        for name in RELATIONS:
            said = quoted(plain_text(root))
            connection.execute(f'alter table "{name}" alter column root set default {said}')
        loader = Loader(connection, create=False)
        loader.load(runs.part(folders, before))
        before += len(folders)
        problems += [f"{root}: {problem}" for problem in loader.problems]
    for name in RELATIONS:
        connection.execute(f'alter table "{name}" alter column root drop default')
    return problems


def _free_file(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    target = free_place(path, overwrite=overwrite)
    if os.path.lexists(target) and not target.is_file():
        raise OutputPlaceError(f"{target} is no file: name one")
    _check_unicode(target)
    return target


def _check_unicode(target: Path) -> None:
    if not _is_unicode(str(target)):
        raise OutputPlaceError(f"DuckDB writes to no folder whose path is no UTF-8: {target}")


def _free_folder(path: str | os.PathLike[str], suffix: str, *, overwrite: bool) -> Path:
    """Return where the tables go: where nothing is, an empty folder, or tables to be replaced."""
    empty = os.path.isdir(path) and not os.listdir(path)
    target = free_place(path, overwrite=overwrite or empty)
    if target.is_dir():
        ours = {f"{name}.{suffix}" for name in RELATIONS}
        others = sorted(set(os.listdir(target)) - ours)
        if others:
            raise OutputPlaceError(
                f"{target} holds other things ({others[0]!r}): name a folder that is not there yet"
            )
    elif os.path.lexists(target):
        kind = {"parquet": "Parquet", "csv": "CSV"}[suffix]
        raise OutputPlaceError(f"{target} is no folder, and {kind} needs one: name another")
    else:
        _check_unicode(target)
    return target


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _exchange(tables: Path, target: Path, before: Path) -> None:
    """Put a folder in the place of another; never a mixture of both."""
    if target.exists():
        os.rename(target, before)
    try:
        os.rename(tables, target)
    except OSError:
        if before.exists():
            os.rename(before, target)
        raise
    fsync_folder(target.parent)
