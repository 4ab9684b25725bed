"""The virtual environments of the contestants, made when they are missing, in bounded time."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "bench"

#: pkg_resources, which Sacred 0.8.7 imports, is gone from newer setuptools.
PEER = ("sacred==0.8.7", "setuptools<81", "numpy", "tensorboardX")

#: Whose stores are asked (B8). The small MLflow, and what its SQLite store imports.
ASKED = (
    *("mlflow-skinny", "sqlalchemy", "alembic", "pandas", "numpy", "setuptools<81"),
    *("tensorboard", "tensorboardX"),
)

_LIMIT = 600.0
_MARK = "benchmark.json"


class EnvironmentMissingError(Exception):
    """An environment could not be made."""


@dataclass(frozen=True, slots=True)
class Environments:
    """The interpreters of the contestants.

    Attributes
    ----------
    ours
        This project and what it needs, no numpy.
    ours_numpy
        The same, and numpy.
    peer
        Sacred 0.8.7 and tensorboardX with numpy, or None where they could not be installed.
    others
        This project under the other Pythons that were found, by version ("3.10").
    wheel
        What is measured, or None where it is installed already.
    """

    ours: Path
    ours_numpy: Path
    peer: Path | None
    others: Mapping[str, Path] = field(default_factory=dict)
    wheel: Path | None = None


def prepare(source: Path | None = None) -> Environments:
    """Make the environments that are missing or out of date.

    Parameters
    ----------
    source
        The wheel to be measured; the checkout if None. It is installed as users get it, never as
        an editable install, which starts slower.

    Raises
    ------
    EnvironmentMissingError
        Ours could not be made. (Without the peers' the others are still measured.)
    """
    wheel = source if source is not None else _build()
    ours = _environment("ours", [str(wheel)], _fingerprint(wheel))
    ours_numpy = _environment("ours-numpy", [str(wheel), "numpy"], _fingerprint(wheel))
    try:
        peer: Path | None = _environment("peer", list(PEER), " ".join(PEER))
    except EnvironmentMissingError as error:
        print(f"The peers are not measured: {error}", file=sys.stderr)
        peer = None
    others = {}
    for version, python in _interpreters().items():
        try:
            others[version] = _environment(
                f"ours-{version}", [str(wheel)], _fingerprint(wheel), python
            )
        except EnvironmentMissingError as error:
            print(f"Python {version} is not measured: {error}", file=sys.stderr)
    return Environments(ours, ours_numpy, peer, others, wheel)


def with_views(known: Environments) -> Path:
    """Return the interpreter of an environment that has the drivers of all views, too.

    Raises
    ------
    EnvironmentMissingError
        They could not be installed.
    """
    if known.wheel is None:
        return known.ours
    return _environment("ours-views", [f"{known.wheel}[sql,s3,gcs]"], _fingerprint(known.wheel))


def for_questions() -> Path:
    """Return the interpreter of an environment that has MLflow and TensorBoard.

    Raises
    ------
    EnvironmentMissingError
        They could not be installed.
    """
    return _environment("asked", list(ASKED), " ".join(ASKED))


def _interpreters() -> dict[str, Path]:
    """Return the Pythons of pyenv and of the path that this project runs under, but for this one."""
    found = {}
    for minor in range(10, 14):
        if minor == sys.version_info.minor:
            continue
        known = (Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python")
        on_path = shutil.which(f"python3.{minor}")
        places = [*sorted(known, reverse=True), *([Path(on_path)] if on_path else [])]
        if places:
            found[f"3.{minor}"] = places[0]
    return found


def existing_peer() -> Path | None:
    """Return the interpreter of the peers' environment if it is there; make nothing."""
    python = _python(CACHE / "peer")
    return python if python.exists() and (CACHE / "peer" / _MARK).exists() else None


def versions(python: Path) -> dict[str, str]:
    """Return the versions of what is installed beside an interpreter."""
    listing = _call([python, "-m", "pip", "list", "--format", "json"], 60.0)
    return {entry["name"]: entry["version"] for entry in json.loads(listing)}


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _environment(
    name: str, requirements: list[str], fingerprint: str, base: Path = Path(sys.executable)
) -> Path:
    folder = CACHE / name
    python = _python(folder)
    mark = folder / _MARK
    wanted = json.dumps({"fingerprint": fingerprint, "python": [sys.version, str(base)]})
    if mark.exists() and python.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    print(f"Making the environment {folder} ...", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _call([base, "-m", "venv", folder], _LIMIT)
    _call([python, "-m", "pip", "install", "--quiet", *requirements], _LIMIT)
    mark.write_text(wanted, encoding="utf-8")
    return python


def _build() -> Path:
    """Build the checkout's wheel."""
    folder = CACHE / "wheel"
    shutil.rmtree(folder, ignore_errors=True)
    command: list[object] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        folder,
    ]
    if importlib.util.find_spec("hatchling") is not None:
        # Else pip fetches the build backend anew each time.
        command.append("--no-build-isolation")
    _call([*command, REPOSITORY], _LIMIT)
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise EnvironmentMissingError("pip built no wheel of this checkout; build one by hand")
    return wheels[0]


def _fingerprint(wheel: Path) -> str:
    """Return a digest of what a wheel holds; the archive itself also holds the time of the build."""
    with zipfile.ZipFile(wheel) as archive:
        facts = sorted((entry.filename, entry.CRC) for entry in archive.infolist())
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _call(command: list[object], limit: float) -> str:
    words = [str(part) for part in command]
    try:
        result = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise EnvironmentMissingError(f"{' '.join(words)} took more than {limit:g} s") from None
    if result.returncode:
        raise EnvironmentMissingError(f"{' '.join(words)} failed: {result.stderr.strip()[-800:]}")
    return result.stdout
