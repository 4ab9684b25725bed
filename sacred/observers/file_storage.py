"""Files: the observer that declares a file view."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.core.arguments import checked_priority, file_name
from sacred.core.lending import lend
from sacred.core.view_options import file_storage_option
from sacred.observers.declaration import declares_a_view
from sacred.observers.file_entry import FileEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_FILE_STORAGE_PRIORITY", "FileStorageObserver", "file_storage_option"]

DEFAULT_FILE_STORAGE_PRIORITY = 20


@declares_a_view
class FileStorageObserver(FileEntry):
    """Declares that runs shall be written as a tree of files.

    The run's folder is made at the start, in this process, with ``config.json`` in it; everything
    else is written by a process of its own. A subclass, an observer with a replaced method or with
    a template (which is code) is called event by event instead, in the run's process, and writes as
    Sacred's does.

    Parameters
    ----------
    basedir
        The folder of the runs; made with the first one. As with Sacred, an empty text is the folder
        of the program.
    resource_dir, source_dir
        Where resources and sources are kept; ``_resources`` and ``_sources`` by default.
    template
        What a report of each run is made of at its end: a file for mako, or for jinja2 if its name
        ends with ``.j2``; ``True`` for the report that is built in, which a replayer writes as it
        does everything else. By default a ``template.html`` in ``basedir``, if there is one.
    priority
        Higher ones are asked for a run's id first.
    copy_artifacts, copy_sources
        False: only say where the files are.

    Raises
    ------
    FileNotFoundError
        The template does not exist.
    InvalidArgumentError
        ``basedir`` is no path, or ``priority`` no number. It is a ``TypeError``.
    """

    def __init__(
        self,
        basedir: str | os.PathLike[str],
        resource_dir: str | os.PathLike[str] | None = None,
        source_dir: str | os.PathLike[str] | None = None,
        template: str | os.PathLike[str] | bool | None = None,
        priority: int = DEFAULT_FILE_STORAGE_PRIORITY,
        copy_artifacts: bool = True,
        copy_sources: bool = True,
        required: bool = False,
    ) -> None:
        name = type(self).__name__
        base = Path(file_name(basedir, f"{name}(PATH)"))
        given: dict[str, Any] = {"resource_dir": resource_dir, "source_dir": source_dir}
        if template is False:
            template = None
        if not isinstance(template, bool):
            given["template"] = template
        for argument, path in given.items():
            if path is not None:
                file_name(path, f"{name}({argument}=PATH)")
        if isinstance(template, (str, os.PathLike)) and not os.path.exists(template):
            raise FileNotFoundError(f"Couldn't find template file '{template}'")
        self.required = required
        self.initialize(
            str(basedir),
            Path(resource_dir) if resource_dir is not None else base / "_resources",
            Path(source_dir) if source_dir is not None else base / "_sources",
            template,
            checked_priority(priority, name),
            copy_artifacts,
            copy_sources,
        )

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> FileStorageObserver:
        """Return an observer. Deprecated: call the class."""
        warnings.warn(
            "FileStorageObserver.create(...) is deprecated. "
            "Please use FileStorageObserver(...) instead.",
            DeprecationWarning,
            stacklevel=1,  # as Sacred's: a script shows none of it
        )
        return cls(*args, **kwargs)

    @classmethod
    def create_from(cls, *args: Any, **kwargs: Any) -> FileStorageObserver:
        """Return an observer; the arguments are those of ``initialize``."""
        observer = cls.__new__(cls)
        observer.initialize(*args, **kwargs)
        return observer

    def initialize(
        self,
        basedir: str,
        resource_dir: str | os.PathLike[str],
        source_dir: str | os.PathLike[str],
        template: str | os.PathLike[str] | bool | None,
        priority: int = DEFAULT_FILE_STORAGE_PRIORITY,
        copy_artifacts: bool = True,
        copy_sources: bool = True,
    ) -> None:
        """Set the attributes."""
        self.basedir = basedir
        self.resource_dir = resource_dir
        self.source_dir = source_dir
        self.template = template
        self.priority = priority
        self.copy_artifacts = copy_artifacts
        self.copy_sources = copy_sources
        self.dir = None
        self.run_entry = self.config = self.info = None
        self.cout, self.cout_write_cursor = "", 0
        # Absolute as of now: the program may change its folder before the first run.
        self._where = os.getcwd()
        self._base = os.path.abspath(basedir)

    # -- the declaration -------------------------------------------------------------------------

    def _specification(self) -> dict[str, Any] | None:
        # A template is code, and a replayer runs none of the user's.
        return self._declaration() if self._template() is None else None

    def _declaration(self) -> dict[str, Any]:
        return {
            "kind": "file",
            "url": self._base,
            "name": f"file:{self._base}",
            "options": {
                "resource_dir": os.path.abspath(self.resource_dir),
                "source_dir": os.path.abspath(self.source_dir),
                "copy_artifacts": self.copy_artifacts,
                "copy_sources": self.copy_sources,
                "priority": self.priority,
                **({"report": True} if self.template is True else {}),
            },
        }

    def claim_run(
        self, *, journal_id: str, run_id: Any, document: Mapping[str, Any], strict: bool = False
    ) -> Any:
        """Make the run's folder, with its configuration in it.

        Parameters
        ----------
        journal_id
            By which the view knows the run.
        run_id
            The run's id if it has one: kept if it is free here.
        document
            What is known about the run.
        strict
            True: an id that is not free is an error.

        Returns
        -------
        The id that the run has in this view: the name of its folder.

        Raises
        ------
        FileExistsError
            The id is not free, and ``strict``.
        """
        from sacred.replayers.claims import claim_in_process
        from sacred.replayers.sinks.file import FileSink

        specification = self._declaration()
        given, folder = claim_in_process(specification, journal_id, run_id, document)
        if strict and str(given) != str(run_id):
            from sacred.replayers.sink import RunKey, SinkSpec

            FileSink(SinkSpec.from_wire(specification)).release(RunKey(journal_id))
            raise FileExistsError(self._taken_text(run_id))
        self.dir = os.path.join(self.basedir, os.path.basename(folder))
        return str(given)

    def _taken_text(self, run_id: Any) -> str:
        return (
            f"There is a run with the id {run_id} in {self._base}. "
            "Leave out --id, or choose another one."
        )

    def check_run_id(self, run_id: Any) -> None:
        """See that a run could have this id.

        Raises
        ------
        FileExistsError
            There is one with it.
        ValueError
            No folder can have this name.
        """
        from sacred.replayers.tree.names import first_names, folder_name

        places = (os.fspath(self.resource_dir), os.fspath(self.source_dir))
        name = folder_name(run_id, first_names(self._base, places))
        if name is None:
            raise ValueError(
                f"The id {run_id!r} can not be the name of a run's folder in {self._base}. "
                "Choose an --id of letters, digits and hyphens."
            )
        if os.path.lexists(os.path.join(self._base, name)):
            raise FileExistsError(self._taken_text(run_id))

    def artifact_file(self, name: str) -> str:
        """Return under which name below the run's folder an artifact is stored."""
        from sacred.replayers.tree.names import artifact_file

        return artifact_file(name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileStorageObserver) and self.basedir == other.basedir

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.basedir}>"


#: What Sacred's module has because it imports it.
lend(
    sys.modules[__name__],
    RunObserver="sacred.core.observers",
    cli_option="sacred.core.options",
    flatten="sacred.serializer",
    get_digest="sacred.core.sources",
)
