"""The most usual scripts under both packages, and whether the comparison sees what differs."""

from __future__ import annotations

import importlib.util
import os

import psutil
import pytest

from sidebyside import comparison, known
from sidebyside.pair import Case, pair
from sidebyside.sentences import SCRIPT, SENTENCES
from sidebyside.usual import USUAL

_PEER = os.environ.get("SACRED_PEER_PYTHON")
pytestmark = [
    pytest.mark.skipif(
        _PEER is None, reason="SACRED_PEER_PYTHON names no Python with sacred 0.8.7"
    ),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each case is a fork of a warmed process"),
    # As the peer has it.
    pytest.mark.skipif(importlib.util.find_spec("yaml") is None, reason="needs PyYAML"),
]


@pytest.fixture(scope="module")
def both():
    """Both packages in warmed processes, stopped at the end."""
    with pair() as sides:
        yield sides


@pytest.mark.parametrize("name", USUAL)
def test_the_same_as_the_original(name, both):
    """USE-07: what scripts of the usual kinds print, record and leave behind is what it is under Sacred 0.8.7."""
    case = USUAL[name]
    theirs, ours = map(comparison.normal, both.answers(case))
    assert "too long" not in (theirs["status"], ours["status"])
    found = comparison.differences(*known.excused(theirs, ours))
    assert not found, f"{case}\n\n{comparison.report(found)}"


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence.example)
def test_an_error_in_other_words(sentence, both, monkeypatch):
    """CLI-20: each of the errors that are told in other words still is; a difference that is gone does not stay in the list."""
    case = Case(SCRIPT, (sentence.example,), observed=False)
    theirs, ours = map(comparison.normal, both.answers(case))
    found = comparison.differences(*known.excused(theirs, ours))
    assert not found, comparison.report(found)
    others = [other for other in SENTENCES if other is not sentence]
    monkeypatch.setattr(known, "SENTENCES", others)
    assert comparison.differences(*known.excused(theirs, ours)), (
        "another one excuses it, or nothing"
    )


@pytest.mark.parametrize(
    "difference", known.KNOWN, ids=lambda difference: difference.excuse.__name__
)
def test_a_known_difference(difference, both, monkeypatch):
    """USE-07: each of the differences that are wanted still is one."""
    if difference.example is None:  # the list of sentences
        return
    theirs, ours = map(comparison.normal, both.answers(difference.example))
    found = comparison.differences(*known.excused(theirs, ours))
    assert not found, comparison.report(found)
    monkeypatch.setattr(known, "KNOWN", [each for each in known.KNOWN if each is not difference])
    assert comparison.differences(*known.excused(theirs, ours)), (
        "another one excuses it, or nothing"
    )


def test_each_difference_is_told_in_the_docs():
    """USE-07: docs/differences.md has the section, and names the fact in it."""
    if not known.DIFFERENCES.exists():
        pytest.skip("the tests run without documents")
    sections = known.sections()
    assert [] == [
        (each.section, fact)
        for each in (*known.KNOWN, *SENTENCES)
        for fact in each.facts
        if fact not in sections.get(each.section, "")
    ]


def test_a_case_that_hangs(both):
    """A case has so many seconds; it is killed with what it started, and the next one is answered."""
    script = """\
import subprocess
import sys
import time

from sacred import Experiment

ex = Experiment("hangs", save_git_info=False)


@ex.main
def main():
    program = "import time; time.sleep(600)"
    print(subprocess.Popen([sys.executable, "-c", program]).pid, flush=True)
    time.sleep(600)
"""
    for limit in (1.5, 60):  # a machine that is busy may not have got so far
        answers = both.answers(Case(script, ("ex.run()",), observed=False, limit=limit))
        if all(answer["stdout"].strip() for answer in answers):
            break
    for answer in answers:
        assert "too long" == answer["status"]
        assert _is_gone(int(answer["stdout"].split()[-1]))
    assert [0, 0] == [answer["status"] for answer in both.answers(USUAL["hello"])]


def _is_gone(pid):
    """Whether a process that was killed is gone, which may take it a moment."""
    try:
        psutil.Process(pid).wait(100)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
