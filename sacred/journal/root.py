"""The folder that holds all runs: its layout, and how a run gets a folder of its own.

::

    sacred_runs/
      .sacred-journal       marks the folder as a root; version of the layout
      .gitignore            keeps git away
      .high-water           last number given, and those below it that were not; a hint
      blobs/  .trash/  .cache/
      57/                   one run
        journal/            the files of its writers
        notes/  views/
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sacred.journal.errors import (
    JournalUnavailableError,
    JournalUnreadableError,
    NoRootError,
    NotAJournalError,
    RunNotFoundError,
)
from sacred.journal.regular_file import create_regular, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable

MARKER = ".sacred-journal"
DEFAULT_NAME = "sacred_runs"
#: What the system says where no folder is, or a link that leads to none.
NO_FOLDER = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
#: What the system says where nothing can be made durable, or no folder: no error of a disk.
CAN_NOT_SYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
#: The folder beside ``journal`` with what people say of the run.
NOTES = "notes"
LAYOUT_VERSION = 1
#: What stands in the file that marks a root.
_MARK = f'{{"layout": {LAYOUT_VERSION}}}'
_HIGH_WATER = ".high-water"
#: What the name of a copied run's folder begins with.
_COPY = "journal-"
#: The most digits of a run's number.
_DIGITS = 18
#: A row of numbers in the hint, the most that is read of it (characters), and how many are kept:
#: the last ones. What is forgotten counts as given.
_ROW = r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})\Z"
_HINT_BYTES = 64 * 1024
_MOST_ROWS = 1000


def epoch_file_name(writer: int, epoch: int) -> str:
    """Return the name of one writer's file of one epoch."""
    return f"w{writer:04d}-e{epoch:04d}.jzst"


def parse_epoch_file_name(name: str) -> tuple[int, int] | None:
    """Return (writer, epoch), or None if it is not the name of a journal's file."""
    # By hand, here and below: a pattern takes a start 50 us to compile.
    writer, _, epoch = name[1:].removesuffix(".jzst").partition("-e")
    if name[:1] != "w" or not name.endswith(".jzst"):
        return None
    if not all(len(part) in range(4, 10) and _is_digits(part) for part in (writer, epoch)):
        return None
    return int(writer), int(epoch)


def is_run_number(name: str) -> bool:
    """Tell whether a name is one that runs have in a root."""
    return _is_digits(name) and name[0] != "0" and len(name) <= _DIGITS


def copy_name(journal_id: str) -> str:
    """Return the name of the folder of a copied run: no number, whatever the digits of its id."""
    return f"{_COPY}{journal_id}"


def is_copy_name(name: str) -> bool:
    """Tell whether a name is that of a copied run's folder: ``journal-`` and the journal's id."""
    digits = name.removeprefix(_COPY)
    return digits != name and len(digits) == 16 and not set(digits) - set("0123456789abcdef")


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_ours(name: str) -> bool:
    """Tell whether a name may stand in a root besides ``blobs``."""
    return name[0] == "." or is_run_number(name) or is_copy_name(name)


def name_for_damage(path: Path) -> Path:
    """Return the name under which a damaged file is kept beside the one that takes its place.

    It is no name of a journal's file, and no other file has it.
    """
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return kept


def fsync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable; does nothing where folders can not be synced."""
    if os.name == "nt":
        return
    # As text: out of memory, the system's calls raise TypeError for a path that is an object.
    _fsync(os.open(str(path), os.O_RDONLY | os.O_DIRECTORY))


def fsync_file(path: str | os.PathLike[str]) -> None:
    """Make what a file holds durable; does nothing where that can not be done.

    Raises
    ------
    OSError
        The file is not there, or the disk failed.
    """
    # A file that is only read can be synced, but not on Windows.
    _fsync(open_regular(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY))


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CAN_NOT_SYNC:
            raise
    finally:
        os.close(descriptor)


class RunFolder:
    """The folder of one run: names alone, for any thread. It need not be there.

    Parameters
    ----------
    path
        Absolute. As text it becomes a path when it is asked for: ten thousand take 60 ms.
    number
        The number in the root; None for a journal that lies elsewhere.
    """

    __slots__ = ("_path", "_text", "number")

    def __init__(self, path: Path | str, number: int | None = None) -> None:
        self._text = path if isinstance(path, str) else None
        self._path = None if isinstance(path, str) else path
        self.number = number

    @property
    def path(self) -> Path:
        """The folder, absolute."""
        if self._path is None:
            self._path = Path(self._text or "")
        return self._path

    @property
    def place(self) -> str:
        """The folder, absolute, as text."""
        return str(self._path) if self._text is None else self._text

    def __repr__(self) -> str:
        """Show the path."""
        return f"<RunFolder {self.path}>"

    @property
    def journal(self) -> Path:
        """The folder of the journal's files."""
        return self.path / "journal"

    def holds_nothing(self) -> bool:
        """Tell whether the folder was claimed for a run that never wrote anything."""
        try:
            if not set(os.listdir(self.path)) <= {"journal", "views", "copy.json"}:
                return False
            return not any(
                parse_epoch_file_name(name) or name.endswith(".spool")
                for name in os.listdir(self.journal)
            )
        except FileNotFoundError:
            return self.path.is_dir()
        except OSError:
            return False

    @property
    def views(self) -> Path:
        """The folder of what replayers remember about the run on this machine: logs, states."""
        return self.path / "views"

    def has_views(self) -> bool:
        """Tell whether there may be such a folder: in 2 us, where listing what is not there takes 15."""
        return os.access(f"{self.place}{os.sep}views", os.F_OK)

    @property
    def root(self) -> JournalRoot:
        """The root the folder lies in."""
        return JournalRoot(self.path.parent)

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Take any folder that holds a journal: a run's folder, or its ``journal`` folder.

        A file of a journal stands for the run in which it lies.

        Parameters
        ----------
        path
            Of the folder or the file.

        Returns
        -------
        The run's folder, with a number if its name is one.

        Raises
        ------
        NotAJournalError
            It holds none.
        JournalUnreadableError
            The system does not let us look.
        """
        folder = Path(path).absolute()
        if folder.parent.name == "journal" and folder.is_file():
            folder = folder.parent  # a file of a run, for the run
        if folder.name == "journal" and _has_epoch_files(folder):
            folder = folder.parent
        if not _has_epoch_files(folder / "journal"):
            raise no_journal(folder)
        number = int(folder.name) if is_run_number(folder.name) else None
        return cls(folder, number)


def _has_epoch_files(folder: Path) -> bool:
    try:
        return any(parse_epoch_file_name(name) for name in os.listdir(folder))
    except OSError as error:
        if error.errno in NO_FOLDER:
            return False
        raise unreadable(folder, error) from error


def no_journal(folder: Path) -> NotAJournalError:
    """Return the error that says why nothing can be read where a run should be."""
    if JournalRoot(folder).exists():
        text = f"{folder} is a root, which holds runs: name one of them, and --root {folder}"
    elif not os.path.lexists(folder):
        if folder.name == "journal" and folder.parent.is_dir():
            text = f"{folder.parent} holds no journal: it has no folder of that name"
        elif folder.name == "journal" and os.path.lexists(folder.parent):
            return no_journal(folder.parent)
        else:
            text = f"{folder} does not exist"
    elif not folder.is_dir():
        text = f"{folder} holds no journal: it is no folder, and a run is one"
    elif folder.name != "journal" and _has_epoch_files(folder):
        text = (
            f"{folder} holds the files of a journal and is no run: move them into a folder called "
            f"journal, as {folder / 'journal'}"
        )
    else:
        text = f"{folder} holds no journal (no file like w0000-e0001.jzst)"
    return NotAJournalError(text)


def unreadable(path: Path, error: OSError) -> JournalUnreadableError:
    """Return the error that says why a journal can not be read, and what to do."""
    cure = ""
    if error.errno in {errno.EACCES, errno.EPERM}:
        cure = ". Ask its owner for the right to read it"
    return JournalUnreadableError(f"{path} can not be read: {error.strerror or error}{cure}")


class JournalRoot:
    """The folder that holds all runs.

    Creating one touches nothing; ``create``, ``claim`` and ``adopt`` do. May be used from several
    threads, processes and machines at once.

    Parameters
    ----------
    path
        Of the folder, which need not be there; made absolute.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    def __repr__(self) -> str:
        """Show the path."""
        return f"<JournalRoot {self.path}>"

    @property
    def blobs(self) -> Path:
        """The folder of the blobs."""
        return self.path / "blobs"

    def exists(self) -> bool:
        """Tell whether the folder is marked as a root; False, too, where nobody may look."""
        return os.path.isfile(self.path / MARKER)  # False too where nobody may look

    def create(self) -> None:
        """Make the folder and its marker if they are not there.

        The names of the folders that were made survive a power cut where the disk lets them.

        Raises
        ------
        JournalUnavailableError
            The folder can not be made or written.
        """
        if self.exists():
            return
        try:
            taken = _taken_by(self.path)
            if taken is not None:
                raise FileExistsError(17, f"it holds {taken}, and a root is a folder of its own")
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            _create_file(self.path / ".gitignore", "*\n")
            _create_file(self.path / MARKER, f"{_MARK}\n")
            for folder in reversed(made):  # their names, from the outside in
                with contextlib.suppress(OSError):  # a run is worth more than its root's name
                    fsync_folder(folder.parent)
        except OSError as error:
            raise unavailable(self.path, error) from error

    def claim(self, preferred: int | None = None) -> RunFolder:
        """Make a run's folder: the preferred number if it is free, else the next free one.

        A number that was used is never given again, also after its run was removed and to whom
        asks for it: the high-water mark remembers, and ``mkdir`` decides between processes.

        Parameters
        ----------
        preferred
            A number above 0, as a rule the run's id. A run whose id was another one's number keeps
            its id, in a folder of another number.

        Returns
        -------
        The run's folder, with an empty ``journal`` folder in it. Its name survives a power cut when
        the journal's first event does.

        Raises
        ------
        JournalUnavailableError
            No folder can be made.
        """
        self.create()
        return self._given(preferred, self._try_claim)

    def adopt(self, folder: Path, preferred: int | None = None) -> RunFolder:
        """Give a finished run's folder a number, as ``claim`` does: the run appears whole.

        Parameters
        ----------
        folder
            Lies in the root under another name, and gets the number for its name.
        preferred
            Its number elsewhere, if that was never used here. A run that was removed from this root
            and comes back gets another number, too: nobody can tell it from one that only had the
            same, and links and notes that name the number mean the one that is gone.

        Returns
        -------
        The run's folder under its new name, which survives a power cut.

        Raises
        ------
        JournalUnavailableError
            The folder can not be renamed.
        """

        def rename(number: int) -> RunFolder | None:
            path = self.path / str(number)
            if os.path.lexists(path):
                return None
            try:
                os.rename(folder, path)
            except OSError as error:
                if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                    return None  # somebody was faster
                raise
            return RunFolder(path, number)

        adopted = self._given(preferred, rename)
        fsync_folder(self.path)
        return adopted

    def link(self, name: str, preferred: int | None = None) -> RunFolder | None:
        """Give a run that lies in the root under its journal's id a number: a link to it.

        Parameters
        ----------
        name
            Of its folder in the root.
        preferred
            Its number elsewhere, if that was never used here.

        Returns
        -------
        The run's folder under its number; None where the system makes no links.

        Raises
        ------
        JournalUnavailableError
            The root can not be written.
        """
        none = frozenset({errno.EPERM, errno.EACCES, *CAN_NOT_SYNC})

        def make(number: int) -> RunFolder | None:
            path = self.path / str(number)
            try:
                os.symlink(name, path, target_is_directory=True)
            except FileExistsError:
                return None
            return RunFolder(path, number)

        try:
            return self._given(preferred, make)
        except JournalUnavailableError as error:
            if error.errno in none and os.access(self.path, os.W_OK):
                return None
            raise

    def _given(self, preferred: int | None, take: Callable[[int], RunFolder | None]) -> RunFolder:
        """Have a number taken that was not used yet: the preferred one, or the next that is free."""
        high = self._high_water()
        try:
            if preferred is not None and preferred > 0 and not self._was_given(preferred):
                folder = take(preferred)
                if folder is not None:
                    self._raise_high_water(high, preferred, skipping=True)
                    return folder
            number = high
            for _ in range(1_000_000):
                number += 1
                folder = take(number)
                if folder is not None:
                    self._raise_high_water(high, number)
                    return folder
        except OSError as error:
            raise unavailable(self.path, error) from error
        raise JournalUnavailableError(f"no free run number was found in {self.path}")

    def next_number(self) -> int:
        """Return the number the next claim is likely to give."""
        return self._high_water() + 1

    def _try_claim(self, number: int) -> RunFolder | None:
        path = self.path / str(number)
        try:
            path.mkdir()
        except FileExistsError:
            return None
        try:
            (path / "journal").mkdir()
        except FileExistsError:
            return None  # a rename takes the place of a folder that is empty (``adopt``)
        return RunFolder(path, number)

    def _was_given(self, number: int) -> bool:
        """Tell whether a number was given to a run, as far as the mark knows, or the trash."""
        if number in self._trashed():
            return True
        return number <= self._mark() and not any(
            first <= number <= last for first, last in self._skipped()
        )

    def _high_water(self) -> int:
        return self._mark() or max((*self.numbers(), *self._trashed()), default=0)

    def _trashed(self) -> set[int]:
        """Return the numbers of runs in the trash, by the names there: ``57.20261123T034500Z``."""
        try:
            names = os.listdir(self.path / ".trash")
        except OSError:
            return set()
        return {int(n) for name in names if is_run_number(n := name.partition(".")[0])}

    def keep_number(self, number: int) -> None:
        """Have a number never be given again, for a run that is about to be removed.

        Parameters
        ----------
        number
            That it has.
        """
        if self._mark() < number:
            self._raise_high_water(0, max(self._high_water(), number))

    def _mark(self) -> int:
        text = self._hint()[0]
        return int(text) if is_run_number(text) else 0

    def _skipped(self) -> list[tuple[int, int]]:
        """Return the first and last of each row of numbers below the mark that were not given."""
        rows = (re.match(_ROW, word) for word in self._hint()[1].split())
        return [(int(row[1]), int(row[2])) for row in rows if row]

    def _hint(self) -> tuple[str, str]:
        """Return the two lines of the mark's file."""
        try:
            with os.fdopen(open_regular(self.path / _HIGH_WATER), "rb") as file:
                lines = [*file.read(_HINT_BYTES).decode("ascii").splitlines(), "", ""]
                return lines[0].strip(), lines[1]
        except (OSError, ValueError):
            return "", ""

    def _raise_high_water(self, high: int, number: int, *, skipping: bool = False) -> None:
        """Take down that a number was given; if ``skipping``, that those up to it were not."""
        mark, skipped = self._mark(), self._skipped()
        rows = [row for row in skipped if not row[0] <= number <= row[1]]
        for first, last in set(skipped).difference(rows):
            rows += [(first, number - 1), (number + 1, last)]
        last_given = mark or high
        if skipping and number > last_given:
            rows.append((last_given + 1, number - 1))
        rows = sorted(row for row in rows if row[0] <= row[1])
        if number <= max(high, mark) and rows == skipped:
            return  # another process was given a higher one meanwhile
        # By chance: under a name that can be foretold may lie a pipe, or a link that leads elsewhere.
        temporary = self.path / f"{_HIGH_WATER}.{int.from_bytes(os.urandom(6), 'big')}"
        text = " ".join(f"{first}-{last}" for first, last in rows[-_MOST_ROWS:])
        try:
            create_regular(temporary, f"{max(mark, high, number)}\n{text}".rstrip() + "\n")
            os.replace(temporary, self.path / _HIGH_WATER)
        except OSError:  # a hint: mkdir decides
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def numbers(self) -> list[int]:
        """Return the numbers of all runs.

        Returns
        -------
        In order. Of folders alone: what is in them is not looked at.

        Raises
        ------
        NoRootError
            The folder is not there or can not be read.
        """
        try:
            return sorted(int(name) for name in os.listdir(self.path) if is_run_number(name))
        except OSError as error:
            raise NoRootError(f"{self.path} can not be read: {error.strerror}") from error

    def runs(self) -> list[RunFolder]:
        """Return the folders of all runs.

        Returns
        -------
        In the order of their numbers.

        Raises
        ------
        NoRootError
            The folder is not there or can not be read.
        """
        before = os.path.join(str(self.path), "")
        return [RunFolder(f"{before}{number}", number) for number in self.numbers()]

    def every_run(self) -> list[RunFolder]:
        """Return the folders of all runs, of copies too that have no number.

        Returns
        -------
        Those with numbers in their order, then those that are named by their journal's id alone.

        Raises
        ------
        NoRootError
            The folder is not there or can not be read.
        """
        numbered = self.runs()
        known = {os.path.realpath(folder.path) for folder in numbered}
        try:
            names = sorted(name for name in os.listdir(self.path) if is_copy_name(name))
        except OSError as error:
            raise NoRootError(f"{self.path} can not be read: {error.strerror}") from error
        paths = (self.path / name for name in names)
        return numbered + [RunFolder(p) for p in paths if os.path.realpath(p) not in known]

    def run(self, number: int) -> RunFolder:
        """Return the folder of one run.

        Parameters
        ----------
        number
            Of the run.

        Returns
        -------
        Its folder. Whether it holds a journal that can be read is not looked at.

        Raises
        ------
        RunNotFoundError
            There is none of this number.
        """
        folder = RunFolder(self.path / str(number), number)
        if not folder.journal.is_dir():
            raise RunNotFoundError(f"there is no run {number} in {self.path}")
        return folder


def root_around(path: str | os.PathLike[str]) -> JournalRoot | None:
    """Return the root in which a path is no place for anything else; None where it is free.

    That is the root itself, and in it the folders of runs, of blobs and what has a leading dot.
    """
    real = Path(os.path.realpath(path))
    inside = ""
    for folder in (real, *real.parents):
        root = JournalRoot(folder)
        if root.exists() and (not inside or inside == "blobs" or _is_ours(inside)):
            return root
        inside = folder.name
    return None


def _create_file(path: Path, text: str) -> None:
    with contextlib.suppress(FileExistsError):
        create_regular(path, text)


def _taken_by(path: Path) -> str | None:
    """Return what a folder holds that is no root's; None if it may become one.

    One that lost its marker (a backup without hidden files) may.
    """
    try:
        names = sorted(os.listdir(path))
    except OSError:
        return None
    for name in names:
        if not (name in {"blobs", "lost+found"} or _is_ours(name)):
            return f"other things ({name!r})"
    numbers = [name for name in names if is_run_number(name)]
    if any((path / name / "run.json").exists() for name in numbers[:100]):
        return "runs of a file storage"
    return None


def unavailable(path: Path, error: OSError) -> JournalUnavailableError:
    """Return the error that says why journals can not be written, and what to do."""
    reason = error.strerror or str(error)
    denied = error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}
    cure = "Make it writable" if denied else "Free or mount it"
    if error.errno == errno.EEXIST:
        cure = "Move what is there"
    text = (
        f"the journal can not be written in {path}: {reason}. "
        f"{cure}, or choose another folder with -J DIR or SACRED_JOURNAL_ROOT."
    )
    return JournalUnavailableError(error.errno or 5, text)


def _has_runs(folder: Path) -> bool:
    """Tell whether a folder looks like a root, whether it is marked as one or not."""
    try:
        numbers = [name for name in os.listdir(folder) if is_run_number(name)]
        return any((folder / name / "journal").is_dir() for name in numbers[:100])
    except OSError:
        return False


def no_root(path: Path) -> NoRootError:
    """Return the error that says why a folder is no root, and what to do."""
    name = "name the folder of the runs with --root DIR or SACRED_JOURNAL_ROOT"
    if not os.path.lexists(path):
        return NoRootError(f"{path} does not exist: {name}")
    if JournalRoot(path.parent).exists():
        return NoRootError(f"{path} is no root, but lies in one: --root {path.parent}")
    if _has_runs(path):
        import shlex

        return NoRootError(
            f"{path} holds runs, but {MARKER} is missing, the file that makes it a root (a copy "
            f"without hidden files lacks it). To mark it: echo '{_MARK}' > "
            f"{shlex.quote(str(path / MARKER))}"
        )
    return NoRootError(f"{path} is no root of journals (no {MARKER} in it): {name}")


def find_root(
    start: str | os.PathLike[str] | None = None, *, given: str | os.PathLike[str] | None = None
) -> JournalRoot:
    """Find the root to read from.

    Parameters
    ----------
    start
        Where to begin looking (default: the current folder): its ``sacred_runs``, the folder
        itself, then the same in each parent, as git looks for its repository.
    given
        A root that was named by the user: taken as it is, and an error if it is none.

    Returns
    -------
    The root; nothing is made or changed.

    Raises
    ------
    NoRootError
        None was found; the text says where was looked.
    """
    if given is not None:
        root = JournalRoot(given)
        if root.exists():
            return root
        nested = JournalRoot(root.path / DEFAULT_NAME)
        if nested.exists():
            return nested
        raise no_root(nested.path if _has_runs(nested.path) else root.path)
    first = Path(start or os.getcwd()).absolute()
    for folder in (first, *first.parents):
        # In this order: it is where an experiment that was started here would write.
        for candidate in (folder / DEFAULT_NAME, folder):
            root = JournalRoot(candidate)
            if root.exists():
                return root
            if candidate != folder and candidate.is_dir() and not os.access(candidate, os.X_OK):
                raise NoRootError(f"{candidate} can not be read: {os.strerror(errno.EACCES)}")
            if candidate != folder and _has_runs(candidate):
                raise no_root(candidate)  # not passed over for one further up
    raise NoRootError(
        f"no root of journals in {first} or a folder above it: looked for {DEFAULT_NAME}/{MARKER}. "
        "Run an experiment first, or name the root with --root DIR or SACRED_JOURNAL_ROOT."
    )
