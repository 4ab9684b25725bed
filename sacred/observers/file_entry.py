"""A run's folder of files, written by an observer that is called itself, event by event.

That happens to a subclass, to one whose methods somebody replaced, to one with a template (which is
code), and in tests that call ``observer.started_event(...)`` themselves. What is written, and which
method is asked for what, is as with Sacred: such a program compares files and replaces methods.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sacred.observers.declaration import declares_a_view, logger
from sacred.observers.tree_entry import TreeEntry

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileEntry"]

#: So many folders that appear at the same moment are passed over.
_ATTEMPTS = 1000


@declares_a_view
class FileEntry(TreeEntry):
    """Writes the folder of one run after the other, in the thread that calls.

    Attributes
    ----------
    basedir
        The folder of the runs, as it was given.
    dir
        The folder of the run; None before the first one.
    run_entry
        The content of ``run.json``; written with the next event.
    config, info, cout, cout_write_cursor
        What the run's other files hold, and how much of the output is written.
    """

    VERSION = "FileStorageObserver-0.7.0"
    basedir: str
    resource_dir: str | os.PathLike[str]
    source_dir: str | os.PathLike[str]
    template: str | os.PathLike[str] | bool | None
    copy_artifacts: bool
    copy_sources: bool
    dir: str | None
    run_entry: dict[str, Any] | None
    config: dict[str, Any] | None
    info: dict[str, Any] | None
    cout: str
    cout_write_cursor: int
    #: What relative folders are relative to: the program may change its own.
    _where: str

    # -- what a subclass may replace ---------------------------------------------------------------

    def save_json(self, obj: Any, filename: str) -> None:
        """Write a value as JSON into the run's folder; the file is there whole or not at all."""
        from sacred.journal.new_file import written_aside
        from sacred.observers.direct import plain_value
        from sacred.replayers.tree.documents import json_document

        content = json_document(plain_value(obj))
        path = self._path(filename)
        with written_aside(path, os.path.dirname(path)) as file:
            file.write(content)

    def save_file(self, filename: str | os.PathLike[str], target_name: str | None = None) -> None:
        """Copy a file into the run's folder.

        Raises
        ------
        FileExistsError
            The name is one of the tree's own files.
        RuntimeError
            No run began yet.
        """
        from sacred.replayers.sinks.file.disk import copy
        from sacred.replayers.tree.names import OWN_FILES

        name = target_name or os.path.basename(filename)
        if name in OWN_FILES:
            raise FileExistsError(
                "You are trying to overwrite a file necessary for the FileStorageObserver: "
                f"{name}. Add it under another name."
            )
        target = self._path(name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        copy(os.fspath(filename), target)

    def save_cout(self) -> None:
        """Add the output that is new to ``cout.txt``."""
        mode = "a" if self.cout_write_cursor else "w"
        with open(self._path("cout.txt"), mode, encoding="utf-8", errors="replace") as file:
            file.write(self.cout[self.cout_write_cursor :])
        self.cout_write_cursor = len(self.cout)

    def find_or_save(self, filename: str | os.PathLike[str], store_dir: Path) -> Path | str:
        """Copy a file to where all runs share it, unless its content is there.

        Returns
        -------
        Where it is; the file itself, if it lies below the folder of the runs and artifacts are not
        to be copied.
        """
        from sacred.core.dependencies import get_digest
        from sacred.replayers.sinks.file.disk import copy
        from sacred.replayers.tree.names import below, shortened, size

        base = os.path.join(self._where, self.basedir)
        if not self.copy_artifacts and below(base, os.fspath(filename)) is not None:
            return os.fspath(filename)
        stem, extension = os.path.splitext(os.path.basename(filename))
        ending = f"_{get_digest(Path(filename))}{extension}"
        target = Path(store_dir, shortened(stem, size(ending)) + ending)
        reached = os.path.join(self._where, target)
        if not os.path.exists(reached):
            os.makedirs(os.path.dirname(reached), exist_ok=True)
            copy(os.fspath(filename), reached)
        return target

    def save_sources(self, ex_info: dict[str, Any]) -> list[list[str]]:
        """Store the source files, each content once.

        Returns
        -------
        Pairs of a name and a path relative to the folder of the runs: ``experiment.sources``.
        """
        base = str(ex_info.get("base_dir") or "")
        stored = []
        for name, _ in ex_info.get("sources") or ():
            path = os.path.join(base, str(name))
            place: Path | str = path
            if self.copy_sources:
                try:
                    place = self.find_or_save(path, Path(self.source_dir))
                except OSError as error:
                    logger().warning(
                        "The source %s is not stored: %s", path, error.strerror or error
                    )
            here = (os.path.join(self._where, one) for one in (place, self.basedir))
            stored.append([str(name), os.path.relpath(*here)])
        return stored

    def render_template(self) -> None:
        """Write ``report.<ending of the template>`` into the run's folder, if there is a template.

        The template is ``template``, else a ``template.html`` in the folder of the runs. It is
        rendered by mako, which executes the code in it, with ``run``, ``config``, ``info``,
        ``cout`` and ``savedir``; by jinja2, with the same names, if its own ends with ``.j2``.
        One that fails costs the report and nothing else.
        """
        if self.template is True:
            self._write_report()
            return
        template = self._template()
        if template is None:
            return
        name = template.removesuffix(".j2")
        names = {
            "run": self.run_entry,
            "config": self.config,
            "info": self.info,
            "cout": self.cout,
            "savedir": self.dir,
        }
        try:
            text = _by_mako(template, names) if name == template else _by_jinja(template, names)
        except ImportError as error:
            package = str(error.name).partition(".")[0]
            if package not in {"mako", "jinja2"}:
                package = "mako" if name == template else "jinja2"
            logger().warning(
                "%s is not rendered: it needs %s (pip install %s)", template, package, package
            )
            return
        except Exception as error:  # whatever the code of a template raises
            logger().warning(
                "%s is not rendered, and there is no report of the run: %s: %s",
                template,
                type(error).__name__,
                " ".join(str(error).split())[:300],
            )
            return
        ending = os.path.splitext(name)[1] or (".txt" if name != template else "")
        with open(self._path(f"report{ending}"), "w", encoding="utf-8") as file:
            file.write(text)

    def _write_report(self) -> None:
        """Write the report that is built in."""
        import json

        from sacred.journal.new_file import written_aside
        from sacred.observers.direct import plain_value
        from sacred.replayers.tree.report import REPORT, report_page

        if REPORT in self._entry().get("artifacts", ()):
            logger().warning("%s: an artifact is called %s: no report is written", self.dir, REPORT)
            return
        metrics: dict[str, Any] = {}
        if os.path.exists(self._path("metrics.json")):
            with open(self._path("metrics.json"), encoding="utf-8") as file:
                metrics = json.load(file)
        run, config, info = (plain_value(one) for one in (self.run_entry, self.config, self.info))
        path = self._path(REPORT)
        with written_aside(path, os.path.dirname(path)) as page:
            page.writelines(report_page(run, config, info, self.cout, metrics))

    def _template(self) -> str | None:
        if self.template is True:
            return None
        given = self.template or os.path.join(self.basedir, "template.html")
        template = os.path.join(self._where, given)
        return template if os.path.exists(template) else None

    def _make_run_dir(self, _id: Any) -> None:
        """Make a folder for a run and set ``dir``."""
        base = os.path.join(self._where, self.basedir)
        if not os.path.isdir(base):
            os.makedirs(base, exist_ok=True)
        if _id is not None:
            if os.path.basename(str(_id)) != str(_id) or str(_id) in self._names_of_others(base):
                raise ValueError(
                    f"The id {_id!r} can not be the name of a run's folder in {base}. "
                    "Choose an id of letters, digits and hyphens."
                )
            try:
                self._make_dir(_id)
            except FileExistsError:
                raise FileExistsError(
                    f"There is a run with the id {_id} in {base}. "
                    "Leave out the id, or choose another one."
                ) from None
            return
        following = self._maximum_existing_run_id() + 1
        for number in range(following, following + _ATTEMPTS):
            try:
                self._make_dir(number)
            except FileExistsError:
                if number + 1 == following + _ATTEMPTS:
                    raise
            else:
                return

    def _names_of_others(self, base: str) -> set[str]:
        """Return the names in the base folder that no run can have."""
        from sacred.replayers.tree.names import first_names

        places = (self.resource_dir, self.source_dir)
        return {"", ".", ".."} | first_names(
            os.path.abspath(base), [os.path.join(self._where, place) for place in places]
        )

    def _maximum_existing_run_id(self) -> int:
        """Return the highest number that a folder has as its name, or 0."""
        from sacred.replayers.tree.names import is_number

        names = os.listdir(os.path.join(self._where, self.basedir))
        return max((int(name) for name in names if is_number(name)), default=0)

    def _make_dir(self, _id: Any) -> None:
        """Make a run's folder under this name and set ``dir``."""
        folder = os.path.join(self.basedir, str(_id))
        os.mkdir(os.path.join(self._where, folder))
        self.dir = folder

    @contextmanager
    def _new_folder(self, run_id: Any) -> Iterator[None]:
        """Make a run's folder, and take it away again if nothing comes of it."""
        before = (self.dir, self.run_entry)
        self._make_run_dir(run_id)
        try:
            yield
        except BaseException:
            import shutil

            shutil.rmtree(self._path(""), ignore_errors=True)
            self.dir, self.run_entry = before
            raise

    def _given(self, run_id: Any) -> Any:
        """Return a run's id: the name of its folder, unless it was given."""
        return os.path.relpath(str(self.dir), self.basedir) if run_id is None else run_id

    def log_metrics(
        self,
        metrics_by_name: dict[str, dict[str, Any]],
        info: dict[str, Any],  # noqa: ARG002 - the heartbeat that follows has it
    ) -> None:
        """Add metric points to ``metrics.json``, which is there after the first call."""
        path = self._path("metrics.json")
        found = os.path.exists(path)
        if found and not metrics_by_name:
            return
        metrics: dict[str, dict[str, list[Any]]] = {}
        if found:
            import json

            with open(path, encoding="utf-8") as file:
                metrics = json.load(file)
        for name, metric in metrics_by_name.items():
            known = metrics.setdefault(name, {"steps": [], "values": [], "timestamps": []})
            known["steps"] += metric["steps"]
            known["values"] += metric["values"]
            known["timestamps"] += [when.isoformat() for when in metric["timestamps"]]
        self.save_json(metrics, "metrics.json")

    # -- places ----------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        if self.dir is None:
            raise RuntimeError("There is no run yet.")
        return os.path.join(self._where, self.dir, name)

    def _places(self) -> set[str]:
        """Return where files are written here: an artifact that is a folder may have it in it."""
        places = (self.basedir, self.source_dir, self.resource_dir)
        return {os.path.realpath(os.path.join(self._where, place)) for place in places}


def _by_mako(template: str, names: dict[str, Any]) -> str:
    from mako.template import Template

    return str(Template(filename=template).render(**names))  # noqa: S702 - the user's own


def _by_jinja(template: str, names: dict[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, select_autoescape

    folder, name = os.path.split(template)
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=select_autoescape(("html", "htm", "xml", "html.j2")),
    )
    return environment.get_template(name).render(**names)
