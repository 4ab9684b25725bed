"""The program of a run as it is stored: unpacked, checked, loaded, and run.

``sacred run`` unpacks it into a temporary folder and calls ``main`` in a process of its own; the
folder goes when that has ended, however it ended.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from sacred.core.recorded import RecordedRun
from sacred.core.resume import Continuation, ResumeError, continued_run
from sacred.journal.liveness import Liveness
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sacred.core.run import Run

__all__ = ["Unpacked", "check_environment", "main", "places_of", "run_stored", "unpack_sources"]


class Unpacked(NamedTuple):
    """Where the sources of a run lie.

    Attributes
    ----------
    folder
        The folder that holds them all.
    main
        The main file.
    paths
        The folders that modules are to be imported from.
    """

    folder: str
    main: str
    paths: list[str]


# -- the sources ----------------------------------------------------------------------------------


def unpack_sources(record: RecordedRun, folder: str) -> Unpacked:
    """Write the sources of a run into a folder, laid out as they were.

    Parameters
    ----------
    record
        Of the run.
    folder
        Empty.

    Raises
    ------
    ResumeError
        A source was not stored, or there is no main file.
    BlobError
        The content of one is not there, or is not what was stored.
    """
    from sacred.journal.blobs import BlobStore
    from sacred.journal.errors import BlobError

    store = BlobStore(record.folder.root.blobs)
    for name, relative in _layout(record).places.items():
        source = record.sources[name]
        if source.digest is None:
            why = source.error or "its content is not in the journal"
            raise ResumeError(f"the source {name} of run {record.number} can not be used: {why}")
        target = os.path.join(folder, relative)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            content = store.read(source.digest)
        except BlobError as error:
            raise type(error)(
                f"the source {name} of run {record.number} can not be unpacked: {error}. Bring it "
                "back from a copy of the root, or from a bundle of the run (`sacred import`); "
                "else the run has to be begun anew, by its program"
            ) from None
        with open(target, "xb") as file:
            file.write(content)
    return _unpacked(record, folder)


def places_of(record: RecordedRun) -> list[str]:
    """Return where the sources of a run will lie, relative to the folder they are unpacked into."""
    return list(_layout(record).places.values())


class _Layout(NamedTuple):
    """Where the sources lie below the folder that holds them all, by name, and the base folder."""

    places: dict[str, str]
    base: str
    common: str


def _layout(record: RecordedRun) -> _Layout:
    paths = {
        name: os.path.normpath(source.path)
        for name, source in record.sources.items()
        if os.path.isabs(source.path)
    }
    folders = [os.path.dirname(path) for path in paths.values()]
    base = str((record.start.get("experiment") or {}).get("base_dir") or "")
    main = (record.start.get("experiment") or {}).get("mainfile")
    if main in paths:
        folders.append(_top_of(paths[main], record))
    if os.path.isabs(base):
        folders.append(os.path.normpath(base))
    folders += _import_folders(record)
    if not folders:
        return _Layout({}, ".", "")
    common = os.path.commonpath(folders)
    places = {name: os.path.relpath(path, common) for name, path in paths.items()}
    base = os.path.normpath(base) if os.path.isabs(base) else folders[-1]
    return _Layout(places, os.path.relpath(base, common), common)


def _import_folders(record: RecordedRun) -> list[str]:
    """Return the folders that the program imported from, besides its base folder, as they were."""
    from sacred.core.sources import import_folder

    folders: list[Any] = list(record.program.get("path") or ())
    folders += [
        import_folder(source.path, source.module)
        for source in record.sources.values()
        if source.module is not None
    ]
    kept = [os.path.normpath(path) for path in folders if path and os.path.isabs(str(path))]
    return list(dict.fromkeys(kept))


def _top_of(main: str, record: RecordedRun) -> str:
    """Return the folder from which the main file is imported: that around its package."""
    top = os.path.dirname(main)
    for _ in filter(None, str(record.program.get("package") or "").split(".")):
        top = os.path.dirname(top)
    return top


def _unpacked(record: RecordedRun, folder: str) -> Unpacked:
    layout = _layout(record)
    main = (record.start.get("experiment") or {}).get("mainfile")
    if main is None or main not in layout.places:
        raise ResumeError(_why_no_main_file(record))
    path = os.path.join(folder, layout.places[main])
    top = _top_of(path, record)
    base = os.path.normpath(os.path.join(folder, layout.base))
    others = [_now(then, layout, folder) for then in _import_folders(record)]
    return Unpacked(folder, path, list(dict.fromkeys([top, base, *others])))


def _now(then: str, layout: _Layout, folder: str) -> str:
    """Return where a folder is that the sources were laid out below."""
    return os.path.normpath(os.path.join(folder, os.path.relpath(then, layout.common)))


def _why_no_main_file(record: RecordedRun) -> str:
    name = f"run {record.number}"
    if record.has_program:
        return (
            f"{name} has no main file among its stored sources: only its own program can run it, "
            f"with --resume {record.number}"
        )
    experiment = str(record.program.get("experiment") or record.start.get("name"))
    return (
        f"the program of {name} was typed, in a notebook or at a prompt, and is in no file that "
        f"could be started: there, with the experiment {experiment!r} defined as it was, "
        f"ex.run(resume={record.number}) runs it"
    )


# -- what it needs --------------------------------------------------------------------------------


def check_environment(record: RecordedRun, *, force: bool) -> Iterator[str]:
    """Compare what a run was recorded with and what is here; yield a sentence for each difference.

    Parameters
    ----------
    record
        Of the run.
    force
        A package that is missing is a difference like others.

    Raises
    ------
    ResumeError
        Packages are missing.
    """
    import platform

    from sacred.core.distributions import find_distribution

    python = (record.start.get("host") or {}).get("python_version")
    if python and python != platform.python_version():
        yield f"it was recorded with Python {python}, and this is {platform.python_version()}"
    missing = []
    for dependency in record.dependencies:
        name, _, version = dependency.partition("==")
        found = find_distribution(name)
        if found is None and name == "sacred":  # of a run that was imported
            yield f"it was recorded with {dependency}, and sacred-journal stands for it"
        elif found is None:
            missing.append(dependency)
        elif version not in {found.version, "<unknown>"}:
            yield f"it was recorded with {dependency}, and {name} is {found.version} here"
    if missing and not force:
        raise ResumeError(
            f"run {record.number} needs packages that are not installed here: "
            f"{', '.join(missing)}. Install them, or try without them, with --force"
        )
    if missing:
        yield f"packages that it was recorded with are missing: {', '.join(missing)}"


# -- running --------------------------------------------------------------------------------------


def run_stored(
    record: RecordedRun,
    unpacked: Unpacked,
    *,
    resume: bool = False,
    force: bool = False,
    words: Sequence[str] = (),
) -> Run:
    """Run a queued run, or go on with one, by its stored program; this process becomes that.

    Parameters
    ----------
    record
        Of the run.
    unpacked
        Where its sources are.
    resume
        Go on with one that ended early.
    force
        Also with one of another machine, unseen if it lives.
    words
        Options of the experiment's command line; they win over the recorded ones.

    Returns
    -------
    Run
        The run, ended. An error ends the process, as on the experiment's own command line.

    Raises
    ------
    ResumeError
    """
    _take_place(record, unpacked, words)
    experiment = _load(record, unpacked)
    try:
        run = continued_run(
            experiment,
            Continuation(record, resume=resume, stored=True, force=force),
            _given_options(experiment, record, words),
        )
        run.experiment_info = _experiment_info(record, unpacked)
        run()
    except Exception as error:  # a program ends here
        if experiment.current_run is not None and experiment.current_run.debug:
            raise
        experiment._end_program(error)
    return run


def _take_place(record: RecordedRun, unpacked: Unpacked, words: Sequence[str]) -> None:
    """Have modules imported from the stored sources, and go where the program was called."""
    from sacred.core.stored_imports import StoredImports

    base = str((record.start.get("experiment") or {}).get("base_dir") or "")
    cwd = str(record.program.get("cwd") or "")
    outside = {"", cwd, *(os.path.dirname(source.path) for source in record.sources.values())}
    real = {os.path.realpath(path) for path in outside}
    sys.path[:] = [path for path in sys.path if path and os.path.realpath(path) not in real]
    layout = _layout(record)
    main = record.sources[str((record.start.get("experiment") or {}).get("mainfile"))]
    folders = [_top_of(main.path, record), *_import_folders(record)]
    others = {then: _now(then, layout, unpacked.folder) for then in folders}
    unpacked_base = os.path.normpath(os.path.join(unpacked.folder, layout.base))
    StoredImports(unpacked.folder, base, unpacked_base, others).install(unpacked.paths)
    sys.argv[:] = [unpacked.main, *_recorded_words(record, words)]
    if cwd and cwd != os.getcwd():
        try:
            os.chdir(cwd)
        except OSError as error:
            _say(f"it was called in {cwd} ({error.strerror}): it runs in {os.getcwd()}")


def _recorded_words(record: RecordedRun, given: Sequence[str]) -> list[str]:
    """Return the command line as it was, with the secrets that are given again.

    The record has none of them. A program that reads its command line itself would work with
    ``***``: so it is said which word that is.
    """
    from sacred.core.passwords import is_masked, mask_password

    known = {mask_password(word): word for word in given}
    words = [str(word) for word in record.program.get("argv", [""])[1:]]
    found = [known.get(word, word) for word in words]
    for word in found:
        if is_masked(word):
            _say(
                f'"{word}" stands in its command line without the secret, which was not recorded: '
                "give the option again if the program reads it there"
            )
    return found


def _load(record: RecordedRun, unpacked: Unpacked) -> Any:
    """Return the experiment that the stored program defines."""
    from sacred.core.loading import Loading

    path = str(record.program.get("experiment") or record.start.get("name"))
    module = str(record.program.get("module") or "__main__")
    where = f"the stored program of run {record.number}"
    cwd = str(record.program.get("cwd") or "")
    with Loading(path, _files_of(record, unpacked), cwd) as loading:
        try:
            if module == "__main__":
                loading.execute(lambda: _execute(unpacked.main, record.program.get("package")))
            else:
                loading.execute(lambda: __import__(module))
        except ModuleNotFoundError as error:
            raise ResumeError(
                f"{where} needs the module {error.name!r}, which is neither stored with it nor "
                "installed here. (`ex.add_source_file`, or DISCOVER_SOURCES = 'dir' in the "
                f"settings, has more files stored){_if_it_died(record)}"
            ) from error
        except FileNotFoundError as error:
            raise ResumeError(_what_is_missing(where, error, unpacked)) from error
        except SystemExit as error:
            raise ResumeError(f"{where} ended ({error.code}) before it came to the run") from None
    if loading.strangers:
        raise ResumeError(
            f"{where} comes to a run of another experiment first, {loading.strangers[0]!r}"
        )
    if loading.found is None:
        raise ResumeError(f"{where} defines no experiment {path!r}")
    return loading.found


def _if_it_died(record: RecordedRun) -> str:
    """Return what to do about a run that was killed before all of its sources were stored."""
    if record.state is not Liveness.DIED:
        return ""
    return (
        ". A run that is killed as it begins may have its main file alone: then its own program can "
        f"go on with it, by --resume {record.number}"
    )


def _files_of(record: RecordedRun, unpacked: Unpacked) -> dict[str, str]:
    """Return where each source lies now, by where it lay."""
    return {
        record.sources[name].path: os.path.join(unpacked.folder, place)
        for name, place in _layout(record).places.items()
    }


def _what_is_missing(where: str, error: FileNotFoundError, unpacked: Unpacked) -> str:
    """Say which file a stored program does not find, and on which of its lines."""
    import traceback

    what = repr(error.filename) if error.filename is not None else ""
    if not what:
        what = repr(str(error).removeprefix("File not found "))
    frames = traceback.extract_tb(error.__traceback__)
    inside = os.path.join(unpacked.folder, "")
    lines = [frame for frame in frames if frame.filename.startswith(inside)]
    place = f" ({os.path.basename(lines[-1].filename)}, line {lines[-1].lineno})" if lines else ""
    return (
        f"{where} needs the file {what}{place}, which is not there: it runs in {os.getcwd()}. "
        "Sources are stored with a run, and the files of `add_config` and `add_named_config`; bring "
        "back others, or have them stored too, by `ex.add_source_file`"
    )


def _execute(path: str, package: str | None) -> None:
    """Execute a file as the program of this process."""
    import types

    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    module = types.ModuleType("__main__")
    module.__file__ = path
    if package:
        import importlib.util

        __import__(package)
        module.__package__ = package
        # As under `python -m`: by this name child processes import it.
        name = f"{package}.{os.path.splitext(os.path.basename(path))[0]}"
        module.__spec__ = importlib.util.spec_from_file_location(name, path)
        if module.__spec__ is not None:
            module.__loader__ = module.__spec__.loader
    # What is pickled by its name is looked for there, also by child processes.
    sys.modules["__main__"] = module
    exec(code, module.__dict__)  # noqa: S102 - the user's own program, whose content was checked


def _given_options(experiment: Any, record: RecordedRun, words: Sequence[str]) -> dict[str, Any]:
    from sacred.core.commandline import parse_arguments

    parsed = parse_arguments(words, experiment.all_cli_options)
    if parsed.command or parsed.updates or parsed.wants_help:
        raise ResumeError(
            f"run {record.number} has its command and configuration: only options of its command "
            "line can be given"
        )
    return parsed.options


def _experiment_info(record: RecordedRun, unpacked: Unpacked) -> dict[str, Any]:
    """Return what observers in this process are told: what was recorded, and where it lies now."""
    from sacred.core.dependencies import get_digest

    known = dict(record.start.get("experiment") or {})
    layout = _layout(record)
    base = os.path.join(unpacked.folder, layout.base)
    paths = {name: os.path.join(unpacked.folder, at) for name, at in layout.places.items()}
    sources = [(os.path.relpath(path, base), get_digest(path)) for path in paths.values()]
    return {
        **known,
        "base_dir": os.path.normpath(base),
        "sources": sorted(sources),
        "dependencies": list(record.dependencies),
        "repositories": [],
    }


def _say(text: str) -> None:
    print(f"sacred run: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Be the process of a stored program.

    Parameters
    ----------
    arguments
        The run's folder, that of the sources, ``--resume``, ``--force``, then ``--`` and options
        of the experiment.

    Returns
    -------
    The exit code of a run that went well, or could not begin.
    """
    from sacred.journal.errors import JournalError
    from sacred.journal.root import RunFolder

    options, words = _halves(arguments)
    run, folder, *flags = options
    try:
        record = RecordedRun(RunFolder.at(run))
        unpacked = _unpacked(record, folder)
        run_stored(
            record, unpacked, resume="--resume" in flags, force="--force" in flags, words=words
        )
    except (ResumeError, JournalError) as error:
        _say(str(error.args[-1] if error.args else error))
        return error.exit_code
    return 0


def _halves(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    given = list(arguments)
    middle = given.index("--")
    return given[:middle], given[middle + 1 :]
