"""The options that attach an observer to a run: ``-m -F -s -t -S -G``.

The observers live above this package and are found by a registry of strings, so that a program
that uses none of them loads none of them.
"""

from __future__ import annotations

import re
from os import PathLike
from typing import Any

from sacred.core.commandline import CommandLineError
from sacred.core.options import CLIOption, cli_option
from sacred.core.passwords import mask_password

__all__ = ["OBSERVERS", "VIEW_OPTIONS", "load_observer", "parse_mongo_db_arg"]

#: Where the class of each kind of observer is.
OBSERVERS = {
    "file": "sacred.observers.file_storage:FileStorageObserver",
    "gcs": "sacred.observers.gcs_observer:GoogleCloudStorageObserver",
    "mongo": "sacred.observers.mongo:MongoObserver",
    "s3": "sacred.observers.s3_observer:S3Observer",
    "sql": "sacred.observers.sql:SqlObserver",
    "tinydb": "sacred.observers.tinydb_hashfs:TinyDbObserver",
}


def load_observer(kind: str) -> Any:
    """Return the observer class of a kind.

    Raises
    ------
    CommandLineError
        If this installation has no such observer.
    ImportError
        If a package that the observer needs is not installed.
    """
    import importlib

    module_name, _, class_name = OBSERVERS[kind].partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if not (
            isinstance(error, ModuleNotFoundError) and module_name.startswith(error.name or "-")
        ):
            raise
        raise CommandLineError(
            f'This installation of sacred-journal lacks the "{kind}" observer: install it again, or '
            "leave out the option that asks for it. The run is journalled all the same."
        ) from error
    return getattr(module, class_name)


@cli_option("-F", "--file_storage")
def file_storage_option(args: Any, run: Any) -> None:
    """Write this run to files.

    The value is the base folder of the runs.
    """
    run.observers.append(load_observer("file")(_folder("-F/--file_storage", args)))


@cli_option("-G", "--gcs")
def gcs_option(args: Any, run: Any) -> None:
    """Write this run to Google Cloud Storage.

    The value is `gs://<bucket>/path/to/exp`.
    """
    run.observers.append(_bucket_observer("gcs", "-G/--gcs", "gs", args))


gcs_option.gives_way = True


@cli_option("-m", "--mongo_db")
def mongo_db_option(args: Any, run: Any) -> None:
    """Write this run to MongoDB.

    The value is a database: `[host:port:]db_name[.collection[:id]][!priority]`, `host:port` or a
    `mongodb://` URI
    """
    keywords = parse_mongo_db_arg(args)
    if "overwrite" in keywords:
        keywords["overwrite"] = int(keywords["overwrite"])
    run.observers.append(load_observer("mongo")(**keywords))


@cli_option("-S", "--s3")
def s3_option(args: Any, run: Any) -> None:
    """Write this run to S3.

    The value is `s3://<bucket>/path/to/exp`.
    """
    run.observers.append(_bucket_observer("s3", "-S/--s3", "s3", args))


@cli_option("-s", "--sql")
def sql_option(args: Any, run: Any) -> None:
    """Write this run to an SQL database.

    The value is its URL: dialect://username:password@host:port/database
    """
    if not isinstance(args, str) or not args.strip():
        raise CommandLineError("-s needs the URL of a database: write -s sqlite:///runs.db.")
    try:
        observer = load_observer("sql")(args)
    except ValueError as error:  # an address that can be none
        raise CommandLineError(mask_password(f"-s/--sql: {error}")) from None
    run.observers.append(observer)


@cli_option("-t", "--tiny_db")
def tiny_db_option(args: Any, run: Any) -> None:
    """Write this run to a TinyDB.

    The value is the folder of the database.
    """
    run.observers.append(load_observer("tinydb")(path=_folder("-t/--tiny_db", args)))


VIEW_OPTIONS: tuple[CLIOption, ...] = (
    file_storage_option,
    gcs_option,
    mongo_db_option,
    s3_option,
    sql_option,
    tiny_db_option,
)
for _option in VIEW_OPTIONS:
    _option.refuses_empty = True


# -- values ---------------------------------------------------------------------------------------

_URI = (
    r"(?P<url>mongodb(?:\+srv)?://[^/\s]+(?:/(?P<db>[^?.\s]*)(?:\.(?P<collection>[^?\s]+))?"
    r"(?:\?\S*?)?)?)(?:!(?P<priority>-?\d+))?"
)
_HOST = r"(?P<url>[A-Za-z0-9._\-]+:\d{1,5})(?:!(?P<priority>-?\d+))?"
_DATABASE = (
    r"(?:(?P<url>[A-Za-z0-9._\-]+:\d{1,5}):)?(?P<db>[A-Za-z0-9_\-]+)"
    r"(?:\.(?P<collection>[A-Za-z0-9_\-]+)(?::(?P<overwrite>\d{1,12}))?)?"
    r"(?:!(?P<priority>-?\d+))?"
)


def parse_mongo_db_arg(mongo_db: str) -> dict[str, Any]:
    """Return the keywords for a ``MongoObserver`` from the value of ``-m``.

    Parameters
    ----------
    mongo_db
        ``[host:port:]db_name[.collection[:id]][!priority]``, ``host:port``, or a whole
        ``mongodb://`` or ``mongodb+srv://`` URI, also followed by ``!priority``. The database of a
        URI is its path.

    Returns
    -------
    dict
        Some of ``url``, ``db_name``, ``collection``, ``overwrite`` (digits) and ``priority``.

    Raises
    ------
    CommandLineError
        If the value has none of these forms.
    """
    text = str(mongo_db)
    # `name.name:12` reads as host and port, as it always did; with a priority it names a document.
    forms = (_URI,) if "://" in text else (_HOST, _DATABASE)
    if "://" not in text and "!" in text:
        forms = (_DATABASE, _HOST)
    for form in forms:
        match = re.fullmatch(form, text)
        if match is None:
            continue
        found = match.groupdict()
        keywords: dict[str, Any] = {
            "url": found.get("url"),
            "priority": found.get("priority"),
            "db_name": found.get("db"),
            "collection": found.get("collection"),
            "overwrite": found.get("overwrite"),
        }
        if keywords["priority"] is not None:
            keywords["priority"] = int(keywords["priority"])
        return {name: value for name, value in keywords.items() if value not in (None, "")}
    raise CommandLineError(
        f'"{mask_password(text)}" is no database for -m/--mongo_db. Write '
        "[host:port:]db_name[.collection[:id]][!priority], host:port, or a mongodb:// URI."
    )


def _folder(flags: str, args: Any) -> Any:
    """Return the folder that the value of an option names."""
    if not str(args).strip():
        short = flags.partition("/")[0]
        raise CommandLineError(
            f"{short} needs a folder, and was given an empty text: write {short} DIR."
        )
    if not isinstance(args, (str, PathLike)):
        raise CommandLineError(f"The folder of {flags} is {args!r}: give a path.")
    return args


def _bucket_observer(kind: str, flags: str, scheme: str, args: Any) -> Any:
    bucket, basedir = _bucket_and_path(flags, scheme, args)
    try:
        return load_observer(kind)(bucket=bucket, basedir=basedir)
    # A name that can be none, a region that nothing says, a package that is not installed.
    except (ValueError, ImportError) as error:
        raise CommandLineError(f"{flags}: {error}") from None


def _bucket_and_path(flags: str, scheme: str, args: Any) -> tuple[str, str]:
    match = re.fullmatch(rf"{scheme}://([^/\s]+)/(\S.*?)/*", str(args))
    if match is None:
        raise CommandLineError(
            f'"{args}" is no place for {flags}. Write {scheme}://<bucket>/path/to/exp.'
        )
    return match[1], match[2]
