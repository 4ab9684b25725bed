"""Have the tests notice every bug of the bank: ``make bugbank``, or ``bank.py [PART OF A NAME ...]``.

The package and the tests are copied into a scratch folder. First all named tests run there as things
are: each must be green. Then each bug is put into a copy of the package by itself, and its tests run
against that: each must turn red. The exit status is 1 where one did not.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree as ET

if __package__:
    from bugbank.bugs import BUGS
else:
    from bugs import BUGS

HERE = Path(__file__).resolve().parents[2]
PACKAGE = HERE / "sacred"
#: One run of a bug's tests (s); a bug that makes them hang is not caught by it.
SECONDS = 180
AT_ONCE = 2


def with_bug(bug, text):
    """Return a file's text with a bug in it."""
    for old, new in ((bug.old, bug.new), *bug.more):
        if text.count(old) != 1:
            raise ValueError(f"{bug.name}: not once, but {text.count(old)} times in {bug.file}")
        text = text.replace(old, new)
    return text


def outcomes(scratch, package, tests, seconds):
    """Run tests against a copy of the package; return what became of each, and what was printed.

    A test is ``green``, ``red`` or ``not run``; of its parameters one that is red is enough.
    """
    place = Path(tempfile.mkdtemp(dir=scratch))
    report = place / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-o", "junit_family=xunit1"]  # record_property knows no other
    command += [f"--junitxml={report}", f"--basetemp={place / 'tmp'}", *tests]
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "PYTHONHASHSEED": "0"}
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "CI", "BUILD_NUMBER"):
        environment.pop(name, None)
    with open(place / "output", "w+b") as output:
        process = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            try:  # what a test started, too
                os.killpg(process.pid, signal.SIGKILL)
            except OSError:
                pass
            process.wait()
        output.seek(0)
        printed = output.read().decode(errors="replace")
    found = dict.fromkeys(tests, "not run")
    if report.exists():
        for case in ET.parse(report).getroot().iter("testcase"):
            name = case.get("classname", "").replace(".", "/") + ".py::" + case.get("name", "")
            name = name.partition("[")[0]
            red = case.find("failure") is not None or case.find("error") is not None
            if name in found and case.find("skipped") is None and found[name] != "red":
                found[name] = "red" if red else "green"
    shutil.rmtree(place, ignore_errors=True)
    return found, printed


def judge(scratch, bug):
    """Put one bug into a copy of the package; return (seconds, what is wrong, what was printed)."""
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(dir=scratch))
    package = place / "sacred"
    shutil.copytree(PACKAGE, package)  # with what is compiled: a second a bug
    path = package / bug.place
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()
    try:
        path.write_text(with_bug(bug, path.read_text(encoding="utf-8")), encoding="utf-8")
    except ValueError as error:
        return 0.0, str(error), ""
    found, printed = outcomes(scratch, package, bug.tests, SECONDS)
    shutil.rmtree(place, ignore_errors=True)
    missed = [f"{name} is {state}" for name, state in found.items() if state != "red"]
    return time.monotonic() - began, "; ".join(missed), printed


def main(parts):
    """Judge all bugs, or those whose name holds one of some parts; return the exit status."""
    bugs = [bug for bug in BUGS if not parts or any(part in bug.name for part in parts)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bugbank-") as folder:
        scratch = Path(folder)
        skip = shutil.ignore_patterns("__pycache__")
        for name in ("tests", "docs"):
            shutil.copytree(HERE / name, scratch / name, ignore=skip)
        shutil.copy(HERE / "pyproject.toml", scratch)
        tests = sorted({test for bug in bugs for test in bug.tests})
        shares = [tests[part::AT_ONCE] for part in range(AT_ONCE)]
        shares = [share for share in shares if share]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for found, printed in pool.map(
                lambda share: outcomes(scratch, PACKAGE, share, 4 * SECONDS), shares
            ):
                if wrong := [name for name, state in found.items() if state != "green"]:
                    print(printed, "not green without any bug:", *wrong, sep="\n")
                    return 1
            print(f"{len(tests)} tests are green without a bug ({time.monotonic() - began:.0f} s)")
            width = max(len(bug.name) for bug in bugs)
            missed = []
            for bug, (seconds, wrong, printed) in zip(
                bugs, pool.map(lambda bug: judge(scratch, bug), bugs), strict=True
            ):
                if wrong:
                    missed.append((bug, wrong, printed))
                state = "NOT CAUGHT" if wrong else "caught"
                print(f"{bug.name:{width}}  {state:10}  {seconds:5.1f} s", flush=True)
    for bug, wrong, printed in missed:
        print(f"\n{bug.name} ({bug.tempting}):\n{wrong}\n{printed[-3000:]}")
    print(
        f"\n{len(bugs) - len(missed)} of {len(bugs)} bugs are caught ({time.monotonic() - began:.0f} s)"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
