"""The files of a run: ``add_artifact``, ``open_artifact``, ``add_resource``, ``open_resource``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.artifacts import ArtifactError, check_file, is_open_file

if TYPE_CHECKING:
    from collections.abc import Iterable
    from logging import Logger
    from typing import IO

    from sacred.core.recorder import Recorder

__all__ = ["FileRecording"]

#: What of a folder is left out is said by so many names.
_NAMED = 5


class FileRecording:
    """The part of a run that records files, in its own process or in a worker."""

    run_logger: Logger
    _said: set[str]

    if TYPE_CHECKING:

        @property
        def _recorder(self) -> Recorder | None: ...

    def open_resource(self, filename: str | bytes | os.PathLike[str], mode: str = "r") -> IO[Any]:
        """Record a file as a resource of the run, and open it.

        Raises
        ------
        OSError
            It can not be opened.
        """
        path = self._add_resource(filename, must_exist="r" in mode)
        return open(path, mode)

    def add_resource(self, filename: str | bytes | os.PathLike[str]) -> None:
        """Record a file that the run needs, with its content as it is now.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        """
        self._add_resource(filename, must_exist=True)

    def _add_resource(self, filename: str | bytes | os.PathLike[str], must_exist: bool) -> str:
        if must_exist:
            path = check_file(filename, "resource")
        else:
            from sacred.core.arguments import file_name

            path = os.path.abspath(file_name(filename, "open_resource(PATH)"))
        if must_exist or os.path.isfile(path):
            self._record_file("resource", path)
        self._tell("resource_event", filename=path)
        return path

    def add_artifact(
        self,
        filename: str | bytes | os.PathLike[str] | IO[Any],
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        content_type: str | None = None,
    ) -> None:
        """Record a file or folder that the run made, with its content as it is now.

        Its content is stored, and survives the process, when this returns: what a file holds at the
        moment of the call, also if somebody goes on writing it. Of artifacts with the same name all
        are kept, as versions.

        Parameters
        ----------
        filename
            The file; or an open one, also one in memory (``io.BytesIO``): all that it holds, from
            its beginning, wherever it stands.
        name
            Under which it is recorded; the file's name by default. One in memory has none.
        metadata
            Anything of one's own.
        content_type
            Its media type; guessed by its name where it is left out.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ArtifactError
            It has no content to record (a pipe whose writer lives, a device, a closed file, what is
            no file at all), is a place of journals, or has no name.
        """
        if is_open_file(filename):
            self._add_open_file(filename, name, metadata, content_type)
            return
        path = check_file(filename, "artifact")  # type: ignore[arg-type]
        name = os.path.basename(path) if name is None else name
        # An empty name is none; Sacred's file observer takes the file's then.
        recorded = str(name) or os.path.basename(path)
        if not recorded:
            raise ArtifactError(f"{path} has no name: give it one, as name='...'.")
        self._record_file("artifact", recorded, path, metadata, content_type)
        self._say_each_once(self._renamed(recorded, is_folder=os.path.isdir(path)))
        self._tell(
            "artifact_event",
            name=name,
            filename=path,
            metadata=metadata,
            content_type=content_type,
        )

    def open_artifact(self, name: str, version: int | None = None) -> IO[bytes]:
        """Open an artifact of this run, as it was stored, for reading.

        Also those that were added before the run was resumed: a checkpoint, to go on from.

        Parameters
        ----------
        name
            Under which it was added; ``folder/file`` for a file of a folder.
        version
            Which of several that have the name, from 1; the last by default.

        Returns
        -------
        Its content, open for reading.

        Raises
        ------
        ArtifactError
            There is none, or the run has no journal.
        BlobError
            What is stored is damaged.
        """
        if self._recorder is None or self._recorder.writer is None:
            raise ArtifactError("Artifacts can be opened once the run has begun, in its journal.")
        return self._recorder.open_artifact(name, version)

    def _add_open_file(
        self, file: Any, name: str | None, metadata: dict[str, Any] | None, content_type: str | None
    ) -> None:
        from sacred.core.artifacts import named_file, read_whole

        path = named_file(file)
        if path is not None:
            self.add_artifact(path, name, metadata, content_type)
            return
        content = read_whole(file)
        if not name:
            raise ArtifactError(
                f"{type(file).__name__} has no name: add_artifact(file, name='...')."
            )
        folder = self._folder_for_contents()
        # An artifact's name may be a path; a file's name decides what is guessed of its type.
        path = os.path.join(folder, os.path.basename(str(name)) or "artifact")
        with open(path, "wb") as copy:
            copy.write(content)
        self.add_artifact(path, name, metadata, content_type)

    def _folder_for_contents(self) -> str:
        """Return a new folder, which is there as long as the run: observers may read late."""
        import shutil
        import tempfile
        import weakref

        folder = tempfile.mkdtemp(prefix="sacred-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _record_file(self, kind: str, *arguments: Any) -> None:
        recorder = self._recorder
        if recorder is not None and recorder.is_open:
            left_out = getattr(recorder, kind)(*arguments)
            if left_out:
                more = len(left_out) - _NAMED
                named = ", ".join(left_out[:_NAMED]) + (f" and {more} more" if more > 0 else "")
                self._say_each_once([f"Not recorded of the folder {arguments[1]}: {named}"])
        else:
            self._keep_or_say(kind, arguments)

    def _keep_or_say(self, kind: str, arguments: tuple[Any, ...]) -> None:
        """Take a file that no journal takes now."""
        raise NotImplementedError

    def _renamed(self, recorded: str, *, is_folder: bool) -> list[str]:
        """Return what is to be said of the name that an artifact has in a view."""
        del recorded, is_folder
        return []

    def _tell(self, event: str, **arguments: Any) -> None:
        """Tell the observers that are called in this process."""

    def _say_each_once(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            if sentence not in self._said:
                self._said.add(sentence)
                self.run_logger.warning("%s", sentence)
