"""The tests of files: stored once, named where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sacred.replayers.contract.place import SinkPlace
from sacred.replayers.sink import FileEntry, RunKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.replayers.sink import Sink

__all__ = ["FileContract"]


class FileContract(SinkPlace):
    """A file is stored before it is named."""

    def test_a_file_without_content(self, opened: Callable[[], Sink]) -> None:
        """A file whose content was lost does not stop a run."""
        run = RunKey("00000000000000af", 1)
        sink = opened()
        sink.claim(run)
        sink.position(run)
        for role in ("source", "resource", "artifact"):
            sink.put_file(run, FileEntry(role, "/base/lost.py", "/base/lost.py", None), None)

    def test_a_file_that_comes_twice(self, opened: Callable[[], Sink], tmp_path: Path) -> None:
        """Storing a file again gives the same reference."""
        blob = tmp_path / "blob"
        blob.write_bytes(b"content")
        run = RunKey("00000000000000b0", 1)
        entry = FileEntry("source", "x.py", "/base/x.py", "d" * 64, "0" * 32, 7)
        references = []
        for _ in range(2):
            sink = opened()
            sink.claim(run)
            sink.position(run)
            references.append(sink.put_file(run, entry, blob))
        assert references[0] == references[1]
