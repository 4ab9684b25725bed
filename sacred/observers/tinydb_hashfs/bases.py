"""What a TinyDB of one's own is made with, for ``TinyDbObserver.create_from``."""

from __future__ import annotations

import datetime as dt
import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.lending import lend
from sacred.replayers.sinks.tinydb.files import StoredFile
from sacred.replayers.sinks.tinydb.tags import array_of, array_text, date_text, table_of

if TYPE_CHECKING:
    from sacred.replayers.sinks.tinydb.files import HashedFiles
    from sacred.replayers.sinks.tinydb.storage import RunDatabase

__all__ = [
    "BufferedReaderWrapper",
    "DataFrameSerializer",
    "DateTimeSerializer",
    "FileSerializer",
    "NdArraySerializer",
    "SeriesSerializer",
    "get_db_file_manager",
]


def get_db_file_manager(root_dir: str | os.PathLike[str]) -> tuple[RunDatabase, HashedFiles]:
    """Return the database and the files of a folder.

    Raises
    ------
    ImportError
        tinydb is not installed.
    """
    from sacred.observers.tinydb_hashfs.driver import require_driver
    from sacred.replayers.sinks.tinydb.storage import open_database

    require_driver("get_db_file_manager")
    return open_database(os.path.abspath(root_dir))


#: A reader that can be copied; made of an open file, which is left as it is.
BufferedReaderWrapper = StoredFile


class DateTimeSerializer:
    """Times, for ``{TinyDate}``."""

    OBJ_CLASS = dt.datetime

    def encode(self, obj: dt.datetime) -> str:
        """Return a time as text."""
        return date_text(obj)

    def decode(self, s: str) -> dt.datetime:
        """Return a time from its text."""
        return dt.datetime.strptime(s, "%Y-%m-%dT%H:%M:%S.%f")  # noqa: DTZ007 - naive UTC


class NdArraySerializer:
    """Arrays of numpy, for ``{TinyArray}``."""

    @property
    def OBJ_CLASS(self) -> Any:  # noqa: N802 - what tinydb-serialization asks for
        """The class, if numpy is loaded."""
        return getattr(sys.modules.get("numpy"), "ndarray", _Nothing)

    def encode(self, obj: Any) -> str:
        """Return an array as text."""
        return array_text(obj)

    def decode(self, s: str) -> Any:
        """Return an array from its text."""
        import json

        return array_of(json.loads(s))


class DataFrameSerializer:
    """Tables of pandas, for ``{TinyDataFrame}``."""

    _name, _is_column = "DataFrame", False

    @property
    def OBJ_CLASS(self) -> Any:  # noqa: N802
        """The class, if pandas is loaded."""
        return getattr(sys.modules.get("pandas"), self._name, _Nothing)

    def encode(self, obj: Any) -> str:
        """Return a table as text."""
        return str(obj.to_json())

    def decode(self, s: str) -> Any:
        """Return a table from its text."""
        return table_of(s, self._is_column)


class SeriesSerializer(DataFrameSerializer):
    """Columns of pandas, for ``{TinySeries}``."""

    _name, _is_column = "Series", True


class FileSerializer:
    """Open files, for ``{TinyFile}``: stored in a HashFS, and named by their md5."""

    OBJ_CLASS: Any = None

    def __init__(self, fs: Any) -> None:
        from io import BufferedReader

        self.OBJ_CLASS = BufferedReader
        self.fs = fs

    def encode(self, obj: Any) -> str:
        """Store a file, and return what names it."""
        import json

        return json.dumps(self.fs.put(obj).id)

    def decode(self, s: str) -> StoredFile:
        """Return a reader of a stored file.

        Raises
        ------
        OSError
            It is not there.
        """
        import json

        md5 = json.loads(s)
        address = self.fs.get(md5)
        if address is None:
            raise OSError(f"Could not locate file: {md5}")
        return StoredFile(str(address.abspath), str(md5))


class _Nothing:
    """What nothing is an instance of."""


lend(
    sys.modules[__name__],
    BufferedReader="io",
    HashFS="sacred.replayers.sinks.tinydb.files:HashedFiles",
    Path="pathlib",
    TinyDB="tinydb",
)
