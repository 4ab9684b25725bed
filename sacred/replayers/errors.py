"""Every error that writing a view, or reading a store, can raise.

::

    SinkError
    ├── TransientSinkError      the view can not be written now: try again
    │   └── ViewMovedError      somebody else wrote this run's view meanwhile: look where it stands
    └── TerminalSinkError       trying again will not help: stop this view and say what to do
        ├── SinkSpecError       the view's address is none                    (also a ValueError)
        ├── SinkMissingError    a package that the view needs is not installed
        ├── JournalShorterError the journal lacks what the view has of it
        ├── RunDeletedError     a person deleted the run in the view
        ├── ViewUnreadableError what is in the view's place is damaged, or no view   (also a ValueError)
        └── ViewDefectError     something went wrong that should not: a defect, for a report
    ReplayConfigError           the settings of a replayer are wrong         (a ValueError)
    QueryError                  a query can not be answered                   (a ValueError)
    AnnotationError             what is no tag or no note was to be one       (a ValueError)
    StoreError                  a store of Sacred's runs can not be imported
    └── StoredRunError          one of its runs can not

The class decides what happens; the text is one sentence for the person who asked for the view. Each
class carries ``exit_code``, the exit status of a command that ends with it.
"""

from __future__ import annotations


class SinkError(Exception):
    """Base of all errors of a view."""

    exit_code = 1


class TransientSinkError(SinkError):
    """The view can not be written at the moment; the journal has everything."""

    exit_code = 3


class ViewMovedError(TransientSinkError):
    """Somebody else wrote this run's view since its position was read."""


class TerminalSinkError(SinkError):
    """The view can not be written, and waiting does not change that."""


class SinkSpecError(TerminalSinkError, ValueError):
    """The address of the view is none, or says something that no view understands."""

    exit_code = 2


class SinkMissingError(TerminalSinkError):
    """A package that the view needs is not installed."""

    exit_code = 2


class JournalShorterError(TerminalSinkError):
    """The journal lacks what the view has of it."""

    exit_code = 3


class RunDeletedError(TerminalSinkError):
    """The run was deleted in the view by a person."""

    exit_code = 0


class ViewUnreadableError(TerminalSinkError, ValueError):
    """What is in the view's place is damaged, or something else: it is left as it is."""


class ViewDefectError(TerminalSinkError):
    """A defect, of ours or of a library, stopped this run's view; the others go on."""


class StoreError(Exception):
    """A store of runs can not be read, or is none; the text says in a sentence what to do."""

    exit_code = 2


class StoredRunError(StoreError):
    """One run of a store can not be read; the others can."""

    exit_code = 1


class ReplayConfigError(ValueError):
    """The settings of a replayer are wrong.

    Attributes
    ----------
    problems
        All that is wrong, one sentence each; the text is the first of them.
    """

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        more = f" (and {len(problems) - 1} more: --check tells)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = problems


class AnnotationError(ValueError):
    """The text is no tag, or no note; the text says in a sentence why."""

    exit_code = 2


class QueryError(ValueError):
    """The query can not be answered; the text says in a sentence what is wrong with it."""

    exit_code = 2
