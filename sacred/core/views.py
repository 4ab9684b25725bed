"""The declared views of a run: who gives its id, who follows its journal, who is behind at its end.

An observer *declares* a view when its class has ``declare_view()`` and that returns a
specification, ``{"kind", "url", "options", "name"}``, by which another process can write the view.
Everything else is called in this process.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sacred.core.errors import SacredError
from sacred.journal.integers import text_of, whole_number
from sacred.journal.named_tuple import NamedTuple
from sacred.journal.root import root_around

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sacred.core.launch import Channel, ReplayerLink

__all__ = [
    "Behind",
    "RunIdError",
    "RunIdTakenError",
    "RunViews",
    "check_given_id",
    "declared_view",
    "ended",
    "plain_document",
    "refusal",
]

#: Seconds that the start of a run waits for the id that a server gives.
CLAIM_WAIT = 2.0
#: All the views of a run share that time; one that is asked when it is over still gets so much (s).
LATE_CLAIM_WAIT = 0.25
#: And its end for a view without which it is not over (s).
REQUIRED_WAIT = 600.0


class ViewRequiredError(RuntimeError):
    """A view that was declared with ``required=True`` can not be written."""

    exit_code = 1


class ViewPlaceError(SacredError):
    """A view was to be written where only journals may stand."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class RunIdTakenError(SacredError, FileExistsError):
    """The id that was asked for belongs to another run."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


class RunIdError(SacredError, ValueError):
    """The id that was asked for can not be one in a view."""

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False)


#: The kinds of views that are a folder of this machine, and what they are called.
_IN_FOLDERS = {
    "file": "the file storage",
    "tinydb": "the TinyDB",
    "parquet": "the Parquet tables",
}


class Behind(NamedTuple):
    """A view that does not have all of a run.

    Attributes
    ----------
    view
        Its name, without secrets.
    error
        Why, if that is known.
    failed
        Nobody tries any more.
    """

    view: str
    error: str | None
    failed: bool = False


def declared_view(observer: Any) -> dict[str, Any] | None:
    """Return the specification of the view an observer declares; None if it is to be called."""
    if getattr(type(observer), "declare_view", None) is None:
        return None
    view = observer.declare_view()
    return dict(view) if view is not None else None


def check_given_id(observers: Iterable[Any], run_id: Any) -> None:
    """See that the id that the user asked for is free in the views of this machine.

    Raises
    ------
    RunIdTakenError
        Another run has it.
    RunIdError
        No run can have it there.
    """
    for observer in observers:
        check = getattr(observer, "check_run_id", None)
        if callable(check):
            with _refusals():
                check(run_id)


class RunViews:
    """The declared views of one run, in the order of their priority.

    Nothing here raises because of a view, unless it was declared as required.
    """

    def __init__(self, observers: Iterable[Any], root: str, journal_id: str) -> None:
        self._root = root
        self._journal_id = journal_id
        self._views: list[tuple[Any, dict[str, Any]]] = []
        self._claims_end: float | None = None
        self._folder: str | None = None
        self._link_or_none: ReplayerLink | None = None
        self._refused: list[str] = []
        #: Views of which it was said that they can not be written.
        self._told: set[str] = set()
        names: set[str] = set()
        for observer in observers:
            view = declared_view(observer)
            if view is not None:
                view["name"] = _unique(str(view["name"]), names)
                self._views.append((observer, view))

    def __bool__(self) -> bool:
        return bool(self._views)

    def declares(self, observer: Any) -> bool:
        """Return whether an observer is one of the views."""
        return any(observer is declared for declared, _ in self._views)

    def public(self) -> list[dict[str, Any]]:
        """Return the views without their secrets, as the journal keeps them."""
        from sacred.core.recordable import recordable

        hidden = {"client", "password", "secret"}
        views = []
        for _, view in self._views:
            options = {k: v for k, v in (view.get("options") or {}).items() if k not in hidden}
            kept = recordable({**view, "options": options})
            if view.get("kind") == "mongo":
                # Made of the database and the host: it only looks like me:secret@host.
                kept["name"] = view["name"]
            views.append(kept)
        return views

    def check_places(self) -> None:
        """See that no view would be written among the journals.

        Raises
        ------
        ViewPlaceError
            A view's folder is a root of journals, or one of its folders.
        """
        for _, view in self._views:
            place = view.get("url")
            what = _IN_FOLDERS.get(str(view.get("kind")))
            root = root_around(place) if what is not None and place else None
            if root is not None:
                raise ViewPlaceError(
                    f"{place} is a place of journals (their root is {root.path}): "
                    f"give {what} a folder of its own."
                )

    def places(self) -> frozenset[str]:
        """Return the real paths of the folders that views are written into."""
        found = set()
        for _, view in self._views:
            if view.get("kind") in _IN_FOLDERS and view.get("url"):
                options = view.get("options") or {}
                folders = (view["url"], options.get("resource_dir"), options.get("source_dir"))
                found |= {os.path.realpath(folder) for folder in folders if folder}
        return frozenset(found)

    def renamed(self, artifact: str, *, is_folder: bool = False) -> list[str]:
        """Return a sentence for each view that stores an artifact under another name."""
        sentences = []
        for observer, view in self._views:
            stored_name = getattr(observer, "artifact_file", None)
            if stored_name is None:
                continue
            name = f"{artifact}/..." if is_folder else artifact
            stored = stored_name(name)
            if stored != name:
                place = "under other names" if is_folder else f"as {stored!r}"
                sentences.append(
                    f"The artifact {artifact!r} is stored {place} in {view['name']}: it has the "
                    "name of a file that the view needs, or none that a file there can have."
                )
        return sentences

    def connect(self) -> None:
        """Have the replayer process start, if there is anything for it to write."""
        if self._views:
            self._link()

    def _link(self) -> ReplayerLink:
        if self._link_or_none is None:
            from sacred.core.launch import replayer_link

            self._link_or_none = replayer_link(self._root, in_process=self._channel_opener())
        return self._link_or_none

    def _channel_opener(self) -> Callable[[], Channel] | None:
        for observer, _ in self._views:
            opener: Callable[[], Channel] | None = getattr(observer, "open_channel", None)
            if opener is not None:
                return opener
        return None

    # -- the id ----------------------------------------------------------------------------------

    def claim(
        self, observer: Any, run_id: Any, document: Mapping[str, Any], *, is_given: bool = False
    ) -> Any:
        """Take an id from a view, or tell it the one there is.

        Parameters
        ----------
        observer
            One that declares a view.
        run_id
            The run's id, if it has one.
        document
            What is known about the run.
        is_given
            Whether the user asked for this very id, so that no other will do.

        Returns
        -------
        The id the view gave; None if it gave none.

        Raises
        ------
        ViewRequiredError
            The view is required and can not be written.
        RunIdTakenError, RunIdError
            The view is one of this machine, and can not give the id that was asked for.
        """
        view = next(view for declared, view in self._views if declared is observer)
        required = bool(getattr(observer, "required", False))
        in_process = getattr(observer, "claim_run", None)
        if in_process is not None:
            try:
                with _refusals():
                    given = in_process(
                        journal_id=self._journal_id,
                        run_id=run_id,
                        document=document,
                        strict=is_given,
                    )
            except (RunIdTakenError, RunIdError):
                raise
            except Exception as error:
                # A folder that can not be made is a view that is behind, not a run that failed.
                if required:
                    raise ViewRequiredError(
                        f"The view {view['name']} can not be written: {error}"
                    ) from error
                self._refuse(str(view["name"]), str(error))
                return None
            return given if run_id is None else None
        if run_id is not None and not required:
            return None
        answer = self._link().claim(
            view,
            self._journal_id,
            run_id,
            plain_document(document),
            self._claim_wait() if not required else 10 * CLAIM_WAIT,
        )
        if answer.id is None and required:
            why = answer.error or "it did not answer in time"
            raise ViewRequiredError(f"The view {view['name']} can not be written: {why}")
        if answer.id is None and answer.error:
            self._refuse(str(view["name"]), answer.error)
        return answer.id

    def _refuse(self, name: str, error: str) -> None:
        self._refused.append(refusal(name, error))
        self._told.add(name)

    def _claim_wait(self) -> float:
        """Return for how long the next view may think about an id: several share one wait."""
        now = time.monotonic()
        if self._claims_end is None:
            self._claims_end = now + CLAIM_WAIT
            return CLAIM_WAIT
        return max(self._claims_end - now, LATE_CLAIM_WAIT)

    def refused(self) -> list[str]:
        """Return what the views said that gave no id, a sentence for each, once."""
        refused, self._refused = self._refused, []
        return refused

    # -- following -------------------------------------------------------------------------------

    def follow(self, folder: str, run_id: Any) -> None:
        """Have the journal written into the views from now on."""
        if not self._views:
            return
        self._folder = folder
        for observer, view in self._views:
            began = getattr(observer, "run_began", None)
            if began is not None:
                began(journal_id=self._journal_id, run_id=run_id, view=view["name"])
        self._link().follow(folder, self._journal_id, run_id, [view for _, view in self._views])

    def look(self) -> None:
        """See that somebody writes the views."""
        if self._link_or_none is not None:
            self._link_or_none.ensure_alive()

    def failed(self) -> list[str]:
        """Return a sentence for each view that nobody tries to write any more, once in a run."""
        link = self._link_or_none
        if link is None or self._folder is None:
            return []
        news = {
            name: error
            for name, error in link.failures(self._folder).items()
            if name not in self._told
        }
        self._told.update(news)
        return [refusal(name, error or "its replayer says no more") for name, error in news.items()]

    def wait(self, position: list[list[Any]], timeout: float) -> list[Behind]:
        """Wait until the views have what the journal has; return those that have not."""
        if self._folder is None or not self._views:
            return []
        longer = {
            str(view["name"]): max(timeout, REQUIRED_WAIT)
            for observer, view in self._views
            if getattr(observer, "required", False)
        }
        states = self._link().wait(self._folder, position, timeout, longer)
        return [
            Behind(name, state.error, state.state == "failed")
            for name, state in states.items()
            if state.state != "current"
        ]


@contextmanager
def _refusals() -> Iterator[None]:
    """Say what a view has against an id as a root says it: one sentence, and nothing begins."""
    try:
        yield
    except FileExistsError as error:
        raise RunIdTakenError(str(error)) from None
    except ValueError as error:
        raise RunIdError(str(error)) from None


def ended(text: str) -> str:
    """Return a sentence with a mark at its end."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def refusal(name: str, error: str) -> str:
    """Return what a view said, as a sentence that names it."""
    error = " ".join(error.split())
    if error.startswith(f"{name} "):
        return ended(f"The view {error}")
    if name.partition(":")[2] in error:
        return ended(error[:1].upper() + error[1:])
    return ended(f"The view {name} can not be written: {error}")


def _unique(name: str, names: set[str]) -> str:
    candidate, number = name, 1
    while candidate in names:
        number += 1
        candidate = f"{name}#{number}"
    names.add(candidate)
    return candidate


def plain_document(value: Any) -> Any:
    """Return a value as JSON can hold it: keys as text, unknown objects as text."""
    if isinstance(value, dict) or hasattr(value, "keys"):
        return {text_of(key): plain_document(value[key]) for key in list(value.keys())}
    if isinstance(value, (list, tuple)):
        return [plain_document(item) for item in value]
    return whole_number(value) if type(value) is int else value
