"""Row 8 of the battery: calls of the system that fail, by number, under a real experiment."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from battery import oracle, soak
from sacred.journal import EventType, JournalRoot

CALLS = ("write", "fdatasync", "fsync", "openat", "rename")
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EINTR", "EROFS", "EMFILE", "ESTALE")
PROGRAM = Path(__file__).with_name("small_experiment.py")
#: Errors of every call that is tried, in ``make test``.
ERRORS_EACH = 1


def why_not():
    """Return why faults can not be injected here; None if they can."""
    if not shutil.which("strace"):
        return "row 8 needs strace: apt-get install strace"
    command = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=20, text=True)
    return None if done.returncode == 0 else f"row 8 needs ptrace: {done.stderr.strip()}"


class Called(NamedTuple):
    """A call below the root: the how-manieth of its name in its thread."""

    name: str
    number: int
    first_thread: bool
    path: str
    line: int


class Outcome(NamedTuple):
    """What became of an experiment."""

    status: int
    told: list
    saw: list
    through: bool
    error: str
    lines: list


_LINE = re.compile(r"(\d+) +(\w+)\((.*)")


def experiment(root, inject=None):
    """Run the experiment, with a fault or none; strace's log is in the outcome."""
    log = root.parent / "strace.log"
    command = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    command += ["-e", f"inject={inject}"] if inject else []
    result = subprocess.run(
        [*command, sys.executable, str(PROGRAM), f"--journal={root}", "-l", "ERROR", "-C", "sys"],
        env={**soak.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=root.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = result.stdout.splitlines()
    return Outcome(
        result.returncode,
        [line[5:] for line in lines if line.startswith("told ")],
        [line for line in lines if line.startswith("saw ")],
        "through" in lines,
        result.stderr,
        log.read_text(errors="replace").splitlines(),
    )


def calls_below(root, lines):
    """Return the calls that concern the root, with the numbers by which strace knows them."""
    counts, found, first = {}, [], None
    for index, line in enumerate(lines):
        match = _LINE.match(line)
        if not match or match[2] not in CALLS:
            continue
        thread, name, rest = match.groups()
        first = first or thread
        counts[thread, name] = number = counts.get((thread, name), 0) + 1
        path = re.search(re.escape(str(root)) + r'[^">]*', rest.split(" = ")[0])
        if path:
            found.append(Called(name, number, thread == first, path[0], index))
    return found


def injected(outcome, root):
    """Return what the faults hit: the paths, in the order of the log; None if it was not ours."""
    paths = []
    for line in outcome.lines:
        if "(INJECTED)" in line or "+++ killed" in line:
            path = re.search(re.escape(str(root)) + r'[^">]*', line)
            if path is None and "(INJECTED)" in line:
                return None
            if path:
                paths.append(path[0])
    return paths


def judge(outcome, root, what, *, killed=False):
    """Raise if the experiment noticed anything, or a promise is broken."""
    assert not outcome.saw, f"{what}: {outcome.saw}"
    if "start" not in outcome.told:
        # Before main() a journal that can not be written is said in a sentence (status 1).
        assert killed or outcome.status == 1, f"{what}: {outcome}"
        assert killed or re.search("^Error: ", outcome.error, re.M), f"{what}: {outcome.error}"
        assert "Traceback" not in outcome.error, f"{what}: {outcome.error}"
        return
    if not killed:
        assert outcome.status == 0, f"{what}: {outcome.error}"
        assert outcome.through, what
        assert "Traceback" not in outcome.error, f"{what}: {outcome.error}"
    (run,) = JournalRoot(root).runs()
    seen = oracle.look(run.journal)
    oracle.check_prefix(seen)
    events = [event for frame in seen.frames for event in frame.events]
    there = [e.fields["name"] for e in events if e.type == EventType.ARTIFACT_ADDED]
    told = [name for name in outcome.told if name != "start"]
    assert there[: len(told)] == told, f"{what}: told {told}, read {there}"
    if not killed:
        points = {EventType.METRIC_POINT, EventType.METRIC_TABLE}
        assert sum(e.count for e in events if e.type in points) == 120, what
        assert any(e.type == EventType.RUN_ENDED for e in events), what
        assert not oracle.named_holes(seen), f"{what}: {seen.verdicts}"


def nothing_behind_a_fault(outcome, what):
    """Raise if a file was written after a write or a sync of it failed, or synced after a failed sync.

    After a failed write a file is made durable as far as it went.
    """
    suspect = {}
    for line in outcome.lines:
        match = re.match(r"\d+ +(write|fdatasync)\(\d+<([^>]*\.jzst)>", line)
        if match:
            call, path = match.groups()
            failed = suspect.get(path)
            harmless = failed is None or (failed, call) == ("write", "fdatasync")
            assert harmless, f"{what}: {path} was used after a fault: {line}"
            if "(INJECTED)" in line and "EINTR" not in line:
                suspect[path] = call


@pytest.fixture
def faults():
    """Give the calls that can fail; skip where nothing can be injected."""
    reason = why_not()
    if reason:
        pytest.skip(reason)

    def go(folder):
        experiment(folder / "warm" / "runs")  # compiled files and the like are there from now on
        return calls_below(folder / "dry" / "runs", experiment(folder / "dry" / "runs").lines)

    with soak.scratch() as folder:
        for name in ("warm", "dry"):
            (folder / name).mkdir()
        yield folder, go(folder)


def _each(folder, plan, until, seed):
    """Run one experiment for every fault of a plan, and more until the time is over."""
    count = missed = 0
    for number, (called, fault) in enumerate(plan):
        if number and until and time.monotonic() > until:
            break
        what = f"seed {seed}: {called.name} {called.number} of {called.path}: {fault}"
        place = folder / str(number)
        place.mkdir()
        root = place / "runs"
        outcome = experiment(root, f"{called.name}:{fault}:when={called.number}")
        paths = injected(outcome, root)
        if paths is None:  # the fault hit something that is not ours
            missed += 1
            continue
        judge(outcome, root, what, killed="signal" in fault)
        nothing_behind_a_fault(outcome, what)
        count += bool(paths) or outcome.status != 0
        shutil.rmtree(place)
    return count, missed


@pytest.mark.slow
def test_no_call_that_fails_is_noticed_by_the_experiment(faults, record_property):
    """Row 8, P6: every call below the root fails once, with one of the errors: no exception, nothing lost, the file that met it closed, the next one good."""
    folder, calls = faults
    seed, longest = soak.seed(), soak.seconds(0.12)
    rng = random.Random(seed)
    plan = []
    for called in calls:
        errors = ERRORS if longest else rng.sample(ERRORS, ERRORS_EACH)
        plan += [(called, f"error={error}") for error in errors]
        if called.name == "write":
            plan.append((called, f"retval={rng.randint(1, 9)}"))
    rng.shuffle(plan)
    until = time.monotonic() + longest if longest else 0
    count, missed = _each(folder, plan, until, seed)
    assert count >= min(30, len(plan) * 0.6), f"{missed} of {len(plan)} faults hit something else"
    record_property("battery", ("row 8: calls that failed", count))


@pytest.mark.slow
def test_an_experiment_killed_at_any_call_keeps_what_it_was_told(faults, record_property):
    """Row 8, P1, P3: SIGKILL at the k-th call."""
    folder, calls = faults
    seed, longest = soak.seed(), soak.seconds(0.08)
    plan = [(called, "signal=SIGKILL") for called in calls]
    random.Random(seed).shuffle(plan)
    if longest:
        plan *= 100
    until = time.monotonic() + longest if longest else 0
    count, _ = _each(folder, plan, until, seed)
    assert count >= 15
    record_property("battery", ("row 8: kills at a call", count))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EROFS"])
def test_a_call_that_never_succeeds_stops_nobody(faults, call, error, record_property):
    """Row 8, P6: all syncs fail, or all renames: the experiment goes on to its end, and reads as it should."""
    folder, _ = faults
    root = folder / "always" / "runs"
    root.parent.mkdir()
    outcome = experiment(root, f"{call}:error={error}")
    what = f"{call}: {error}"
    assert not outcome.saw, what
    assert (outcome.status, outcome.through) == (0, True), f"{what}: {outcome.error}"
    assert "Traceback" not in outcome.error, what
    (run,) = JournalRoot(root).runs()
    oracle.check_prefix(oracle.look(run.journal))
    nothing_behind_a_fault(outcome, what)
    record_property("battery", ("row 8: calls that always failed", 1))


def test_strace_counts_are_understood():
    """Row 8: the reading of strace's log itself."""
    root = Path("/r/runs")
    lines = [
        '7 openat(AT_FDCWD</x>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>',
        '7 openat(AT_FDCWD</x>, "/r/runs/1/journal/a.jzst", O_RDONLY) = 3</r/runs/1/journal/a.jzst>',
        '7 write(3</r/runs/1/journal/a.jzst>, "abc"..., 3) = 3',
        '8 write(3</r/runs/1/journal/a.jzst>, "abc"..., 3) = 3',
    ]
    found = [(c.name, c.number, c.first_thread) for c in calls_below(root, lines)]
    assert [("openat", 2, True), ("write", 1, True), ("write", 1, False)] == found
