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

from battery import oracle, soak, spooled
from sacred.journal import EventType, JournalReader, JournalRoot

#: Those that ask how a file is are many, and alike: so many of them are tried in ``make test``.
ASKING, ASKED = ("fstat", "newfstatat"), 12
CALLS = ("write", "fdatasync", "fsync", "openat", "rename", "unlink", "fcntl", "flock", *ASKING)
ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EINTR", "EROFS", "EMFILE", "ESTALE")
PROGRAM = Path(__file__).with_name("small_experiment.py")
#: Errors of every call that is tried, in ``make test``.
ERRORS_EACH = 1
#: So many failed calls and kills of a run that is gone on with, and so many lines in its spool.
GONE_ON, LINES = 20, 40


def why_not():
    """Return why faults can not be injected here; None if they can."""
    if not shutil.which("strace"):
        return "row 8 needs strace: apt-get install strace"
    command = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=100, text=True)
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


def experiment(root, inject=None, *words):
    """Run the experiment, with a fault or none; strace's log is in the outcome."""
    log = root.parent / "strace.log"
    command = ["strace", "-f", "-y", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    command += ["-e", f"inject={inject}"] if inject else []
    command += [sys.executable, str(PROGRAM), f"--journal={root}", "-l", "ERROR", "-C", "sys"]
    result = subprocess.run(
        [*command, *words],
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
        # Before main() a journal that can not be written (status 1), or a root that can not be read
        # (2), is said in a sentence.
        assert killed or outcome.status in {1, 2}, f"{what}: {outcome}"
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

    After a failed write a file is made durable as far as it went. While a sync fails in one thread,
    another may write: the file is given up with the next, before which no file is opened, and what
    stands behind the last good sync is written there again.
    """
    suspect = {}
    for line in outcome.lines:
        match = re.match(r"(\d+) +(write|fdatasync|openat)\(.*?<?([^<>\"]*\.jzst)[>\"]", line)
        if not match:
            continue
        thread, call, path = match.groups()
        if call == "openat":
            if "O_CREAT" in line:
                for failed in suspect.values():
                    failed["over"] = True
            continue
        failed = suspect.get(path)
        if failed is None:
            harmless = True
        elif failed["call"] == "write":
            harmless = call == "fdatasync"
        else:
            harmless = call == "write" and thread != failed["thread"] and not failed["over"]
        if failed is not None and failed["short"] and thread == failed["thread"]:
            # The rest of a short write is written once, to learn why; it counts for nothing.
            harmless, failed["short"] = harmless or call == "write", False
        assert harmless, f"{what}: {path} was used after a fault: {line}"
        if "(INJECTED)" in line and "EINTR" not in line:
            is_short = call == "write" and " = -1 " not in line
            suspect[path] = {"call": call, "thread": thread, "over": False, "short": is_short}


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


def _some(calls, rng):
    """Return the calls without most of those that only ask how a file is."""
    asking = [called for called in calls if called.name in ASKING]
    left_out = rng.sample(asking, max(0, len(asking) - ASKED))
    return [called for called in calls if called not in left_out]


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
    for called in calls if longest else _some(calls, rng):
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
    plan = [(called, "signal=SIGKILL") for called in calls if called.name not in ASKING]
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


# -- a run that is gone on with ------------------------------------------------------------------


def killed_run(root):
    """Make a run that was killed: with artifacts, and with lines of output in its spool alone."""
    command = [sys.executable, str(PROGRAM), f"--journal={root}", "-l", "ERROR", "-C", "fd"]
    process = subprocess.Popen(
        command,
        env={**soak.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=root.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        told = process.stdout.readline()
        while told and not told.endswith(b"artifact 2\n"):
            told = process.stdout.readline()
    finally:
        process.kill()
        process.communicate(timeout=60)  # till the end of all that it printed
    assert told, "the experiment ended by itself"
    (run,) = JournalRoot(root).runs()
    spool = spooled.Spool(run.journal)
    for number in range(LINES):
        spool.print(spooled.line(number))
    spool.close()
    return artifacts(run)


def artifacts(run):
    """Return the names of the artifacts that are read, one for each time it was added."""
    events = JournalReader(run.journal).read()
    return [e.fields["name"] for e in events if e.type == EventType.ARTIFACT_ADDED]


def judge_gone_on(outcome, root, before, what, *, killed):
    """Raise if anything that was there is not, or is there twice, or a promise is broken."""
    assert not outcome.saw, f"{what}: {outcome.saw}"
    assert "Traceback" not in outcome.error, f"{what}: {outcome.error}"
    (run,) = JournalRoot(root).runs()
    seen = oracle.look(run.journal)
    oracle.check_prefix(seen)
    told = [name for name in outcome.told if name != "start"]
    there = artifacts(run)
    assert there[: len(before) + len(told)] == [*before, *told], f"{what}: {told}, read {there}"
    output = spooled.output(run.journal).splitlines()
    numbers = [int(text.split()[0]) for text in output if re.match(r"\d+ \.*\Z", text)]
    assert numbers == list(range(LINES)), f"{what}: {numbers}"
    if killed:
        return
    if "start" in outcome.told:
        assert (outcome.status, outcome.through) == (0, True), f"{what}: {outcome.error}"
        assert not oracle.named_holes(seen), f"{what}: {seen.verdicts}"
        return
    # Refused in a sentence: then it can be tried again, and nothing stands in the way.
    assert outcome.status in {1, 2}, f"{what}: {outcome}"
    assert re.search("^Error: ", outcome.error, re.M), f"{what}: {outcome.error}"
    again = experiment(root, None, "--resume", "last")
    assert (again.status, again.through) == (0, True), f"{what}: {again.error}"


@pytest.mark.slow
def test_a_run_is_gone_on_with_though_calls_fail(faults, record_property):
    """Row 8, P1, P3, P6, R8: a killed run is gone on with, and a call on the way fails, or the process is killed there: what was there is there once, output too; who is refused can try again."""
    folder, _ = faults
    base = folder / "killed" / "runs"
    base.parent.mkdir()
    before = killed_run(base)
    assert len(before) >= 3
    dry = folder / "gone on" / "runs"
    shutil.copytree(base, dry)
    lines = experiment(dry, None, "--resume", "last").lines
    # Behind this call, the run is one like any other.
    last = next(n for n, line in enumerate(lines) if "unlink(" in line and "spool" in line)
    # By the main thread: the k-th call of another one is another one each time.
    below = [called for called in calls_below(dry, lines) if called.first_thread]
    calls = [called for called in below if called.line <= last]
    seed, longest = soak.seed(), soak.seconds(0.05)
    rng = random.Random(seed)
    plan = []
    for called in calls if longest else _some(calls, rng):
        errors = ERRORS if longest else rng.sample(ERRORS, 1)
        plan += [(called, f"error={error}") for error in errors] + [(called, "signal=SIGKILL")]
    rng.shuffle(plan)
    until = time.monotonic() + longest if longest else 0
    count = 0
    for number, (called, fault) in enumerate(plan if longest else plan[:GONE_ON]):
        if number and until and time.monotonic() > until:
            break
        what = f"seed {seed}: {called.name} {called.number} of {called.path}: {fault}"
        place = folder / f"gone on {number}"
        place.mkdir()
        root = place / "runs"
        shutil.copytree(base, root)
        inject = f"{called.name}:{fault}:when={called.number}"
        outcome = experiment(root, inject, "--resume", "last")
        paths = injected(outcome, root)
        if paths is None:  # the fault hit something that is not ours
            continue
        judge_gone_on(outcome, root, before, what, killed="signal" in fault)
        nothing_behind_a_fault(outcome, what)
        count += bool(paths) or outcome.status != 0
        shutil.rmtree(place)
    assert count >= GONE_ON / 2
    record_property("battery", ("row 8: failed calls and kills while a run is gone on with", count))
