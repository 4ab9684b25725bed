"""Every error that reading or writing a journal can raise.

::

    JournalError
    ├── NotAJournalError        the folder or file holds no journal
    ├── NoRootError             no root of journals where one was looked for
    ├── RunNotFoundError        no such run in this root              (also a KeyError)
    ├── NewerFormatError        written by a newer version than this reader knows
    ├── InvalidEventError       an event that can not be journalled   (also a ValueError)
    ├── PositionContradictedError  the journal is not the one the position was taken on
    ├── JournalUnavailableError    the journal can not be created or written (also an OSError)
    ├── WriterClosedError       an event after the end of the journal
    ├── JournalBusyError        another process works at the journal, or was faster
    ├── NotSealableError        a file that can not be sealed as it is
    ├── OutputPlaceError        what is exported can not be written there     (also an OSError)
    ├── BundleError             a bundle that is not as it was written, or of no use here
    │   └── NotABundleError     a file that is something else
    ├── MergeError              two copies of a run of which neither contains the other
    └── BlobError
        ├── BlobMissingError    the journal names a blob that is not there
        └── BlobDamagedError    a blob whose content is not what its name says

Each class carries ``exit_code``, the exit status of a command that ends with it.
"""

from __future__ import annotations


class JournalError(Exception):
    """Base of all errors of the journal."""

    exit_code = 1


class NotAJournalError(JournalError):
    """The folder or file holds no journal."""

    exit_code = 2


class JournalUnreadableError(JournalError):
    """The system does not let us read the journal: a permission, a failing disk."""

    exit_code = 2


class NoRootError(JournalError):
    """There is no root of journals where one was looked for."""

    exit_code = 2


class RunNotFoundError(JournalError, KeyError):
    """The root holds no such run."""

    exit_code = 2

    def __str__(self) -> str:
        """Return the sentence itself (``KeyError`` would show its ``repr``)."""
        return str(self.args[0]) if self.args else ""


class NewerFormatError(JournalError):
    """The journal needs a newer version of this package to be read."""

    exit_code = 2


class InvalidEventError(JournalError, ValueError):
    """The event can not be journalled as it is."""


class PositionContradictedError(JournalError):
    """The journal does not continue the one on which a position was taken."""


class JournalUnavailableError(JournalError, OSError):
    """The journal can not be created or opened for writing."""


class WriterClosedError(JournalError):
    """An event was given to a journal that was closed."""


class JournalBusyError(JournalError):
    """Another process works at the journal, or went on with it first."""

    exit_code = 2


class NotSealableError(JournalError):
    """A file can not be sealed as it is: it is damaged, or its writer may live."""


class OutputPlaceError(JournalError, OSError):
    """What is exported can not be written where it should."""

    exit_code = 2


class BundleError(JournalError):
    """A bundle is damaged, was changed, or contradicts what is here."""


class NotABundleError(BundleError):
    """The file is no bundle of a run."""

    exit_code = 2


class MergeError(JournalError):
    """Two copies of one run can not be made one."""


class BlobError(JournalError):
    """Base of the errors of the blob store."""


class BlobMissingError(BlobError):
    """The journal names a blob that is not in the store."""


class BlobDamagedError(BlobError):
    """The content of a blob is not what its name promises."""
