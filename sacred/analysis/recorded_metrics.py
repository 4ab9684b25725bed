"""The metrics of a run by name, each as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sacred.analysis.entries import no_entry
from sacred.analysis.series import Series, missing
from sacred.replayers.plain import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sacred.journal.past import Moment
    from sacred.journal.root import RunFolder

__all__ = ["Metrics"]


class Metrics(Mapping[str, Series]):
    """The metrics of a run by name. Names come from what ``sacred show`` reads; points when asked for."""

    def __init__(self, folder: RunFolder, names: list[str], at: Moment | None = None) -> None:
        self._folder = folder
        self._at = at
        self._names = names
        self._series: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        """Return the points of a metric; a ``KeyError`` names what is near."""
        if name not in self._names:
            raise KeyError(no_entry("metrics", name, self._names))
        self.read([name])
        return self._series[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a metric of that name."""
        return name in self._names

    def read(self, names: Iterable[str] | None = None) -> Metrics:
        """Read several metrics (all, if None) together, which takes little more than one does."""
        wanted = self._names if names is None else list(names)
        missed = [name for name in dict.fromkeys(wanted) if name not in self._series]
        if missed:
            self._series.update(_series(self._folder, missed, self._at))
        return self

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in the order in which they appeared."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._names)

    def __repr__(self) -> str:
        """Show the names."""
        return f"<metrics {', '.join(self._names) or 'none'}>"


def _series(folder: RunFolder, names: list[str], at: Moment | None) -> dict[str, Series]:
    import duckdb

    try:
        import numpy as np  # noqa: F401 - DuckDB needs it to give arrays
    except ImportError:
        raise missing("numpy") from None

    from sacred.analysis.loader import Loader
    from sacred.analysis.statement import Statement

    # As the relation has them: a view holds no lone surrogates.
    texts = {name: plain_text(name) for name in names}
    listed = ", ".join("'" + text.replace("'", "''") + "'" for text in texts.values())
    # A text of SQL ends at a NUL.
    where = "" if "\0" in listed else f"where metric in ({listed})"
    sql = f"select metric, step, value, time, writer, seq from metrics {where}"  # noqa: S608 - quoted
    found = {}
    connection = duckdb.connect(":memory:")
    try:
        statement = Statement(connection, sql)
        Loader(connection, {"metrics"}, statement, kept=1 << 30, at=at).load([folder])
        several = connection.execute("select count(distinct writer) > 1 from metrics").fetchone()
        order = "time, writer, seq" if several and several[0] else "seq"
        for name, text in texts.items():
            points = connection.execute(
                f"select step, value, time from metrics where metric = $name order by {order}",  # noqa: S608 - our own words
                {"name": text},
            ).fetchnumpy()
            steps, values = _floats(points["step"]), _floats(points["value"])
            found[name] = Series(name, steps, values, _unmasked(points["time"]))
    finally:
        connection.close()
    return found


def _floats(array: Any) -> Any:
    import numpy as np

    return np.ma.filled(array, np.nan) if isinstance(array, np.ma.MaskedArray) else array


def _unmasked(array: Any) -> Any:
    import numpy as np

    return np.ma.getdata(array)
