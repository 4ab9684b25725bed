"""The command ``sacred import``: runs from bundles, and from stores that Sacred wrote."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sacred.cli import terminal
from sacred.cli.options import json_option, root_option, say, worst, writing_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sacred.journal.bundle_import import Imported
    from sacred.journal.root import JournalRoot
    from sacred.replayers.stores.importer import RunImport
    from sacred.replayers.stores.store import RunStore

__all__ = ["import_"]

_HELP = """Bring runs in, from bundles or from a store of Sacred.

    \b
      sacred export 7 --bundle run7.tar         here
      sacred import run7.tar                    there

    FILE - is stdin: sacred export 7 --bundle - | ssh there sacred import -

    A bundle that is not as it was written is refused, and nothing of it is kept.

    \b
    STORE is one of
      file:DIR             the folder of Sacred's FileStorageObserver
      mongodb://host/db    a database of MongoDB
      tinydb:DIR           a TinyDB
      sqlite:///FILE.db    an SQL database; also postgresql://... and mysql://...

    Of a store come all runs, those that are named by their ids there, or the --last
    ones. Nothing in it is changed. A run that was imported before stays as it is, so
    the command may be given again, also after it was killed. What could not be carried
    is told. A damaged run stops no other; --partial takes what is whole of it.

    The root is --root DIR, else $SACRED_JOURNAL_ROOT, else ./sacred_runs, and made if
    need be. A run keeps its number, or gets the number that its id is, if no run of the
    root ever had it, else the next free one: so does a run that was removed and comes
    back. Its id stays. A run that is there already stays as it is.

    Exit code: 0 done; 1 a bundle or a run is damaged, or a run has changed in its store
    since it was imported; 2 no bundle, no store, or no such run; 3 a server is away.
    """

#: So many sentences about one run are shown in the table's report; --json has all.
_SHOWN = 5


@click.command("import", help=_HELP)
@click.argument("source", nargs=-1, metavar="FILE... | STORE [RUN...]", required=True)
@click.option(
    "--last",
    type=click.IntRange(1),
    is_flag=False,
    flag_value=1,
    metavar="[N]",
    help="Of a store: the last run, or the last N.",
)
@click.option(
    "--collection", metavar="NAME", help="Of a MongoDB: the collection of the runs (else runs)."
)
@click.option("--dry-run", is_flag=True, help="Of a store: say what would come, and write nothing.")
@click.option(
    "--partial", is_flag=True, help="Of a store: take what is whole of runs that are damaged."
)
@click.option(
    "--running", is_flag=True, help="Of a store: also runs that seem to go on, as they are now."
)
@json_option
@root_option
def import_(
    source: tuple[str, ...],
    last: int | None,
    collection: str | None,
    dry_run: bool,
    partial: bool,
    running: bool,
    as_json: bool,
    root: str | None,
) -> int:
    """Bring runs in, from bundles or from a store of Sacred."""
    from sacred.replayers.stores.registry import is_address

    place = writing_root(root)
    if is_address(source[0]) and not os.path.isfile(source[0]):
        if last is not None and len(source) > 1:
            raise click.UsageError("name the runs of the store, or give --last, not both")
        chosen = _Chosen(source[1:], last)
        how = _How(dry_run, partial, running)
        return _from_store(source[0], collection, chosen, place, how, as_json=as_json)
    given = {"--last": last, "--collection": collection, "--dry-run": dry_run}
    given |= {"--partial": partial, "--running": running}
    for name, value in given.items():
        if value:
            raise click.UsageError(f"{name} is for stores, and {source[0]!r} is the name of a file")
    for name in source:
        if os.path.isdir(name):
            raise click.UsageError(
                f"{name} is a folder: a tree of Sacred's files is written file:{name}, a TinyDB "
                f"tinydb:{name}"
            )
    return _from_bundles(source, place, as_json=as_json)


# -- bundles ---------------------------------------------------------------------------------------


def _from_bundles(files: tuple[str, ...], place: JournalRoot, *, as_json: bool) -> int:
    from sacred.journal.errors import JournalError

    codes, records = {0}, []
    for file in files:
        try:
            done = _imported(file, place)
        except (JournalError, OSError) as error:
            if len(files) == 1:
                raise
            codes.add(getattr(error, "exit_code", 2))
            text = str(error.args[-1])
            ours = isinstance(error, JournalError)
            say(terminal.clean(text if ours else f"{error.filename or file}: {text}"))  # type: ignore[union-attr]
            continue
        records.append(_record(file, done))
        if not as_json:
            print(_sentence(done))
        if count := len(done.manifest.missing):
            files_were = "file was" if count == 1 else "files were"
            what = f"{count} stored {files_were} missing when it was exported"
            say(f"run {done.folder.number}: {what}")
    if as_json:
        import json

        print(json.dumps(records, indent=2))
    return worst(codes)


def _imported(file: str, root: JournalRoot) -> Imported:
    from sacred.journal.bundle_import import import_bundle
    from sacred.journal.errors import JournalError

    if file != "-":
        return import_bundle(file, root)
    import shutil
    import tempfile

    if terminal.is_terminal(sys.stdin):
        raise click.UsageError("a bundle is no text: name a file, or have a program write it")
    with tempfile.TemporaryDirectory(prefix="sacred-") as aside:
        whole = os.path.join(aside, "bundle.tar")  # every byte is proved before any is taken
        with open(whole, "wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        try:
            return import_bundle(whole, root)
        except JournalError as error:
            error.args = (*error.args[:-1], str(error.args[-1]).replace(whole, "standard input"))
            raise


def _record(file: str, done: Imported) -> dict[str, Any]:
    return {
        "file": file,
        "run": done.folder.number,
        "path": str(done.folder.path),
        "state": "imported" if done.new else "already",
        "journal_id": f"{done.manifest.journal_id:016x}",
        "run_before": done.manifest.run,
        "events": done.events,
        "blobs": done.blobs,
        "missing": list(done.manifest.missing),
    }


def _sentence(done: Imported) -> str:
    from sacred.journal.wording import counted

    where = terminal.clean(str(done.folder.root.path))
    if not done.new:
        back = f"; {counted(done.blobs, 'stored file')} that it missed came back"
        back = back if done.blobs else ""
        return f"run {done.folder.number}: in {where} already{back}"
    before = done.manifest.run
    was = "" if before in {None, done.folder.number} else f", where it was run {before}"
    return f"run {done.folder.number}: imported into {where}, {counted(done.events, 'event')}{was}"


# -- stores ----------------------------------------------------------------------------------------


class _How(NamedTuple):
    """How runs of a store are to be imported, as the options say."""

    dry_run: bool
    partial: bool
    running: bool


class _Chosen:
    """Which runs of a store are wanted: those named, the last ones, or all."""

    def __init__(self, names: Sequence[str], last: int | None) -> None:
        self._names = names
        self._last = last

    def of(self, store: RunStore) -> list[int | str]:
        """Return their ids.

        Raises
        ------
        StoreError
            One is not there.
        """
        found = store.runs()
        if self._last is not None:
            return found[-self._last :]
        if not self._names:
            return found
        by_name = {str(run_id): run_id for run_id in found}
        for name in self._names:
            if name not in by_name:
                raise _no_run(name, list(by_name), store.name)
        return [by_name[name] for name in dict.fromkeys(self._names)]


def _no_run(name: str, known: list[str], store: str) -> Exception:
    import difflib

    from sacred.replayers.errors import StoreError

    near = difflib.get_close_matches(name, known, 1)
    hint = f": did you mean {near[0]}?" if near else ""
    if not near and known:
        hint = f": it has {known[0]} to {known[-1]}" if len(known) > 1 else f": it has {known[0]}"
    return StoreError(f"{store} has no run {name[:80]!r}{hint}")


def _from_store(
    address: str,
    collection: str | None,
    chosen: _Chosen,
    root: JournalRoot,
    how: _How,
    *,
    as_json: bool,
) -> int:
    from sacred.replayers.stores.importer import FRESH, import_runs
    from sacred.replayers.stores.registry import store_at

    store = store_at(address, collection=collection)
    found: list[RunImport] = []
    bar = terminal.Progress()
    try:
        store.open()
        wanted = chosen.of(store)
        try:
            fresh = 0 if how.running else FRESH
            for done in import_runs(
                store, root, wanted, dry_run=how.dry_run, partial=how.partial, fresh=fresh
            ):
                found.append(done)
                bar.draw(len(found), len(wanted), f"run {done.run_id}")
        finally:
            # Also of an import that was interrupted: what came, came.
            bar.close()
            _report(store, root, found, as_json=as_json, dry_run=how.dry_run)
    finally:
        store.close()
    return max((done.exit_code for done in found), default=0)


def _report(
    store: RunStore, root: JournalRoot, found: list[RunImport], *, as_json: bool, dry_run: bool
) -> None:
    if as_json:
        from sacred.replayers.jsontext import to_json

        record = {
            "store": store.name,
            "kind": store.kind,
            "root": str(root.path),
            "dry_run": dry_run,
            "never_carried": list(store.lacks),
            "runs": [_run_record(done) for done in found],
        }
        print(to_json(record, indent=2))
        return
    if not found:
        return
    table = terminal.Table(
        ("ID", "RUN", "STATE", "STATUS", "POINTS", "FILES", "LEFT OUT"),
        right=("RUN", "POINTS", "FILES", "LEFT OUT"),
        flexible=("ID",),
        optional=("STATUS", "FILES"),
    )
    for done in found:
        number = "" if done.folder is None else str(done.folder.number)
        came = done.state in {"imported", "new"}
        counts = (done.points, done.files, len(done.losses))
        cells = [f"{count}" if came else "" for count in counts]
        table.add(str(done.run_id), number, done.state, done.status or "", *cells)
    for line in table.lines():
        print(line)
    _tell(store, found)


def _tell(store: RunStore, found: list[RunImport]) -> None:
    """Say what did not come, run by run, then how it went in all."""
    from sacred.journal.wording import counted

    for done in found:
        if done.reason is not None:
            say(terminal.clean(f"run {done.run_id}: {done.reason}"))
        for text in done.losses[:_SHOWN]:
            say(terminal.clean(f"run {done.run_id}: {text}"))
        if len(done.losses) > _SHOWN:
            more = len(done.losses) - _SHOWN
            say(f"run {done.run_id}: and {more:,} more: --json has them all")
    states = ("imported", "new", "already", "running", "changed", "failed")
    words = {"new": "to be imported", "already": "here already", "running": "still running"}
    told = [
        f"{count:,} {words.get(state, state)}"
        for state in states
        if (count := sum(done.state == state for done in found))
    ]
    say(f"{counted(len(found), 'run')} of {terminal.clean(store.name)}: {', '.join(told)}")
    if any(done.state in {"imported", "new"} for done in found):
        say(f"no run of such a store has {'; '.join(store.lacks)}")


def _run_record(done: RunImport) -> dict[str, Any]:
    folder = done.folder
    return {
        "id": done.run_id,
        "state": done.state,
        "run": None if folder is None else folder.number,
        "path": None if folder is None else str(folder.path),
        "status": done.status,
        "points": done.points,
        "files": done.files,
        "left_out": list(done.losses),
        "reason": done.reason,
    }
