"""What the site of these pages has beside the files of this folder: a hook of mkdocs.

* the README as the first page, CONTRIBUTING, the changelog, and the examples with their code;
* the reference, made from the docstrings;
* an index of the decisions.

A page in `mkdocs.yml` that is not here is left out; mkdocs itself fails on one that is here and not there. A page that
would load something from another place fails here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[1]
#: Comments by which the tests know what to do with a block.
MARKER = re.compile(r"^<!-- test: [^\n]*-->\n", re.MULTILINE)
#: A link of a page to an example, or to all of them.
EXAMPLE = re.compile(r"\]\((?:\.\./)+examples/([\w/.-]*)\)")
#: A picture of this folder in HTML, which mkdocs leaves as it is.
PICTURE = re.compile(r'(?<=src="|set=")(?:\.\./|docs/)*(pictures/[\w.-]+)(?=")')
ROW = re.compile(r"^\|.*$", re.MULTILINE)
#: What a browser would fetch from elsewhere to show a page.
FOREIGN = re.compile(
    r"<(?:script|img|iframe)\b[^>]*\bsrc=[\"']?(?:https?:)?//"
    r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon))[^>]*\bhref=[\"']?(?:https?:)?//",
)
#: Pages of the reference: file -> (title, first words, names or modules whose public names are meant).
REFERENCE = {
    "experiment": (
        "Experiments",
        "What a program builds. An experiment is an ingredient, and has all that one has.",
        ["sacred.Experiment", "sacred.Ingredient"],
    ),
    "run": ("Runs", "What `ex.run()` returns, and `_run` is.", ["sacred.run.Run"]),
    "observers": ("Observers", "All in `sacred.observers`.", ["sacred.observers.*"]),
    "configuration": (
        "Configuration",
        "What the decorators of an experiment make; few programs name them.",
        [
            "sacred.config.config_scope.ConfigScope",
            "sacred.config.config_dict.ConfigDict",
            "sacred.config.config_summary.ConfigSummary",
            "sacred.config.config_files.load_config_file",
            "sacred.config.config_files.save_config_file",
        ],
    ),
    "options": (
        "Options, host, output",
        "What a program adds to the command line and to what is known of the machine, and filters of output.",
        [
            "sacred.cli_option",
            "sacred.host_info_gatherer",
            "sacred.host_info.get_host_info",
            "sacred.utils.apply_backspaces_and_linefeeds",
        ],
    ),
    "errors": (
        "Errors",
        "Those of an experiment are in `sacred.utils`, those of journals in `sacred.journal.errors`.",
        ["sacred.utils", "sacred.journal.errors"],
    ),
    "journal": ("Journals", "", ["sacred.journal", "sacred.journal.*"]),
    "runs": (
        "Runs that were recorded",
        "What `sacred.runs()` gives.",
        [
            "sacred.analysis.runs.runs",
            "sacred.analysis.runs.Runs",
            "sacred.analysis.recorded_run.RecordedRun",
            "sacred.analysis.entries.Entries",
            "sacred.analysis.recorded_metrics.Metrics",
            "sacred.analysis.stored_files.StoredFile",
            "sacred.analysis.stored_files.StoredFilesByName",
            "sacred.analysis.series.Series",
            "sacred.analysis.runs.compare",
            "sacred.analysis.comparison.comparison",
            "sacred.analysis.run_table.run_table",
            "sacred.analysis.run_table.RunTable",
        ],
    ),
    "queries": (
        "Queries and exports",
        "What `sacred query` and `sacred export` do, for programs.",
        [
            "sacred.analysis.queries.query",
            "sacred.analysis.queries.QueryResult",
            "sacred.analysis.export.run_lines",
            "sacred.analysis.export.write_lines",
            "sacred.analysis.export.parquet",
            "sacred.analysis.export.Exported",
        ],
    ),
}
#: Of these only the module's own words are shown.
WORDS_ALONE = {"sacred.journal"}


# -- mkdocs calls these ---------------------------------------------------------------------------


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give each folder of the navigation its pages, and leave out pages that are not here."""
    made = {uri for uri, _ in _pages()}
    here = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    config.nav = _existing(config.nav, here | made)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for uri, text in _pages():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leave out what is meant for the tests, and lead links to examples to their page.

    A bar in code needs no backslash here, in a table either.
    """
    above = "../" * page.file.src_uri.count("/")
    markdown = PICTURE.sub(lambda found: get_relative_url(found[1], page.url), markdown)
    text = EXAMPLE.sub(lambda link: f"]({above}examples.md{link[1] and '#' + link[1]})", markdown)
    return ROW.sub(_bars, MARKER.sub("", text))


def _bars(row: re.Match[str]) -> str:
    return re.sub(r"`[^`]*`", lambda code: code[0].replace("\\|", "|"), row[0])


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page for which a browser would go elsewhere."""
    found = FOREIGN.search(output)
    if found is not None:
        raise PluginError(f"{page.file.src_uri} loads something from elsewhere: {found[0]}...")
    return output


# -- the pages ------------------------------------------------------------------------------------


def _pages() -> Iterator[tuple[str, str]]:
    yield "index.md", _readme()
    yield "contributing.md", _text("CONTRIBUTING.md")
    yield "changelog.md", _text("CHANGELOG.md")
    yield "examples.md", _examples()
    yield "decisions/index.md", _decisions()
    for name, (title, words, things) in REFERENCE.items():
        blocks = "\n".join(_block(thing) for given in things for thing in _named(given))
        yield f"reference/{name}.md", f"# {title}\n\n{words}\n\n{blocks}"
    yield "reference/settings.md", _settings()


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _readme() -> str:
    """Return the README with links as they lead from the site's first page."""
    text = _text("README.md").replace("](docs/decisions/)", "](decisions/index.md)")
    text = text.replace("](docs/", "](").replace("](examples/)", "](examples.md)")
    return text.replace("](CONTRIBUTING.md)", "](contributing.md)")


def _examples() -> str:
    """Return the table of the examples, with the code of each below it."""
    text = _text("examples/README.md")
    files = list(dict.fromkeys(re.findall(r"\]\(([\w/.-]+)\)", text)))
    for name in files:
        text = text.replace(f"]({name})", f"](#{name})")
    kinds = {".py": "python", ".html": "mako"}
    for name in files:
        path = ROOT / "examples" / name
        if path.suffix in kinds:
            code = path.read_text(encoding="utf-8")
            text += f"\n## {name} {{ #{name} }}\n\n````{kinds[path.suffix]}\n{code}````\n"
        else:
            text += f"\n## {name} {{ #{name} }}\n\nIn the folder `examples/`.\n"
    return text


def _decisions() -> str:
    lines = ["# Decisions", "", "Why it is as it is, one page each.", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        number, _, words = title.partition(" ")
        lines.append(f"* [{int(number.rstrip('.'))}. {words}]({path.name})")
    return "\n".join(lines) + "\n"


def _settings() -> str:
    """Return the settings as a table: name, default, and the comment that stands above it."""
    from sacred import SETTINGS

    text = _text("sacred/core/settings.py")
    text = text.partition("\nSETTINGS = ")[2].partition("\nSETTINGS.freeze_keys")[0]
    comments: dict[str, str] = {}
    groups: list[str] = []
    comment = ""
    for line in (line.strip() for line in text.splitlines()[1:]):
        if line.startswith("#"):
            comment = f"{comment} {line.lstrip('# ')}".lstrip()
        elif line == "),":
            groups.pop()
        elif group := re.fullmatch(r"(\w+)=\w*Munch\(", line):
            groups.append(group[1])
        elif entry := re.match(r"(\w+)=", line):
            comments[".".join([*groups, entry[1]])] = comment
            comment = ""
    lines = [
        "# Settings",
        "",
        '`from sacred import SETTINGS`. They are set before a run begins, `SETTINGS.CAPTURE_MODE = "sys"`; a name that',
        "does not exist is an error. [Where runs are](../operations.md#settings) has more of those of the journal, and",
        "their variables.",
        "",
        "| `SETTINGS.` | default | |",
        "|---|---|---|",
    ]
    for name, value in _leaves(SETTINGS):
        row = (f"`{name}`", f"`{value!r}`", comments.get(name, ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


def _leaves(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, type(settings)) or hasattr(value, "freeze_keys"):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _named(thing: str) -> list[str]:
    """Return a name, or all public names of a module for ``module.*``."""
    if not thing.endswith(".*"):
        return [thing]
    import importlib

    module = thing.removesuffix(".*")
    return [f"{module}.{name}" for name in importlib.import_module(module).__all__]


def _block(name: str) -> str:
    options = "    options:\n      members: false\n" if name in WORDS_ALONE else ""
    return f"::: {name}\n{options}"


# -- the navigation -------------------------------------------------------------------------------


def _existing(entries: Any, pages: set[str]) -> list[Any]:
    """Return a part of the navigation with folders resolved and without pages that are not here."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str):
            found += [entry] if entry in pages else []
            continue
        ((title, what),) = entry.items()
        if isinstance(what, list):
            inside = _existing(what, pages)
        elif what.endswith("/"):
            inside = _folder(what, pages)
        else:
            inside = what if what in pages else []
        found += [{title: inside}] if inside else []
    return found


def _folder(folder: str, pages: set[str]) -> list[str]:
    if folder == "reference/":
        return [*(f"reference/{name}.md" for name in REFERENCE), "reference/settings.md"]
    return sorted((page for page in pages if page.startswith(folder)), key=_index_first)


def _index_first(page: str) -> tuple[bool, str]:
    return (not page.endswith("/index.md"), page)
