"""The samples of Sacred's page about experiments."""

from __future__ import annotations

import os
import re

import pytest
from servers import peer

from sacred.journal import EventType, JournalReader, JournalRoot
from samples import typed


@pytest.mark.parametrize("sample", ["by_itself", "by_hand"])
def test_a_main_function_makes_a_program(sample, tmp_path):
    """Creating an experiment: with ``automain``, or ``main`` and the command line by hand, a file is a program."""
    assert "" == typed.printed(f"overview/{sample}", tmp_path)
    assert "COMPLETED" == typed.ended(tmp_path)["status"]


def test_main_alone_runs_nothing(tmp_path):
    """Creating an experiment: ``main`` says what is to run, and the file as a program does nothing."""
    assert "" == typed.printed("overview/my_main", tmp_path)
    assert not (tmp_path / "sacred_runs").exists()


@pytest.mark.parametrize(("sample", "result"), [("run_it", "42 baz"), ("run_it_changed", "23 baz")])
def test_another_program_runs_it(sample, result, tmp_path):
    """Running from Python: import the experiment and run it, with its values or with one changed."""
    assert f"{result}\n" == typed.printed(f"overview/{sample}", tmp_path)
    assert result == typed.ended(tmp_path)["result"]


def test_at_the_prompt(tmp_path):
    """Interactive use: at the prompt an experiment needs ``interactive=True``; without, it says why not."""
    assert "in a notebook\n" == typed.printed(
        "overview/jupyter", tmp_path, before=("-i", "-q"), typed=True
    )
    path = typed.program("overview/jupyter", tmp_path)
    path.write_text(path.read_text().replace(", interactive=True", ""))
    refused = typed.run("overview/jupyter", tmp_path, before=("-i", "-q"), typed=True)
    assert "Defining an experiment in interactive mode!" in refused.stderr


def test_local_variables_are_the_configuration(tmp_path):
    """Configuration: the variables of a function, one of which depends on others, and changes with them."""
    assert "baz42\n" == typed.printed("overview/dependent_config", tmp_path)
    words = ("with", "foo=7", "bar=x")
    assert "x7\n" == typed.printed("overview/dependent_config", tmp_path, *words)


def test_several_configurations_follow_each_other(tmp_path):
    """Configuration: a function, a dictionary and a file are combined; the later one wins."""
    assert "23 from the file 2 3\n" == typed.printed("overview/several_configs", tmp_path)


def test_a_captured_function(tmp_path):
    """Captured functions: the call, then the configuration, then defaults; what no one has is an error."""
    done = typed.run("overview/captured", tmp_path)
    assert "1 2 3\n1 42 baz\n1 42 12\n" == done.stdout
    assert 1 == done.returncode
    assert "some_function is missing value(s): ['a']" in done.stderr
    from sacred.utils import MissingConfigError

    assert issubclass(MissingConfigError, TypeError)


def test_an_observer_is_added():
    """Observing: an observer without arguments is the database "sacred" of this machine."""
    from sacred.observers import MongoObserver

    declared = MongoObserver().declare_view()
    assert declared is not None
    assert ("mongodb://localhost:27017", "sacred") == (
        declared["url"],
        declared["options"]["db_name"],
    )


@pytest.mark.server
@pytest.mark.usefixtures("patient_claims")
def test_an_observer_from_the_command_line(tmp_path, mongo_server, mongo_db):
    """Observing: ``-m`` with a database; the run is a document there."""
    place = mongo_server.url.removeprefix("mongodb://").rstrip("/")
    typed.printed("overview/my_experiment", tmp_path, "-m", f"{place}:{mongo_db.name}")
    (document,) = mongo_db["runs"].find()
    assert ("COMPLETED", "42 baz") == (document["status"], document["result"])


@pytest.mark.server
@pytest.mark.usefixtures("patient_claims")
def test_an_observer_in_the_program(tmp_path, mongo_server, mongo_db):
    """Observing: an observer that the program adds writes there."""
    path = typed.program("overview/observed", tmp_path)
    arguments = f"url={mongo_server.url!r}, db_name={mongo_db.name!r}"
    path.write_text(path.read_text().replace("MongoObserver()", f"MongoObserver({arguments})"))
    typed.printed("overview/observed", tmp_path)
    (document,) = mongo_db["runs"].find()
    assert 42 == document["result"]


def test_a_filter_of_captured_output(tmp_path):
    """Captured output: a filter that applies backspaces and returns; what was printed is kept, too."""
    typed.printed("overview/filtered", tmp_path, "-F", "my_runs")
    kept = (tmp_path / "my_runs" / "1" / "cout.txt").read_text()
    assert "30 %\nright" in kept
    assert not {"\r", "\b", "wrong", "20 %"} & {*kept, *kept.split()}
    journal = JournalRoot(tmp_path / "sacred_runs").run(1).journal
    raw = b"".join(
        event.fields["data"]
        for event in JournalReader(journal).read()
        if event.type == EventType.OUTPUT
    )
    assert b"10 %\r20 %\r30 %" in raw


@pytest.mark.parametrize(
    ("words", "status"), [((), "MY_CUSTOM_STATUS"), (("late",), "TIMEOUT")], ids=["own", "timeout"]
)
def test_an_interrupt_of_ones_own(words, status, tmp_path):
    """Interrupts: an exception with a ``STATUS`` ends a run with that status."""
    assert 1 == typed.run("overview/interrupted", tmp_path, *words).returncode
    assert status == typed.ended(tmp_path)["status"]


def test_a_queued_run(tmp_path):
    """Queueing: ``-q`` runs nothing, and leaves an entry that says what would run."""
    typed.printed("overview/my_experiment", tmp_path, "-q", "-F", "my_runs", "with", "foo=1")
    run = (tmp_path / "my_runs" / "1" / "run.json").read_text()
    assert '"status": "QUEUED"' in run


ALIKE = [
    ("overview/by_itself",),
    ("overview/by_hand",),
    ("overview/my_main",),
    ("overview/run_it",),
    ("overview/run_it_changed",),
    ("overview/dependent_config", "with", "foo=7"),
    ("overview/several_configs",),
    ("overview/captured",),
    ("overview/filtered",),
    ("overview/interrupted",),
    ("overview/interrupted", "late"),
    ("overview/my_experiment", "-q"),
    ("observing/files",),
    ("reference/info",),
    ("reference/run_object",),
]


@pytest.mark.slow
@pytest.mark.skipif(peer.interpreter() is None, reason="needs the original: make servers")
@pytest.mark.parametrize("words", ALIKE, ids=" ".join)
def test_the_original_does_the_same(words, tmp_path, monkeypatch):
    """A sample that Sacred 0.8.7 runs prints and ends there as it does here."""
    for name in ("ours", "its"):
        (tmp_path / name).mkdir()
    ours = typed.run(words[0], tmp_path / "ours", *words[1:])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    its = typed.run(words[0], tmp_path / "its", *words[1:], python=os.fspath(peer.interpreter()))

    def said(done):
        text = done.stderr.replace(f"{tmp_path}/ours", "").replace(f"{tmp_path}/its", "")
        return (done.returncode, done.stdout, re.sub(r"(?<= after )\d:\d\d:\d\d", "TIME", text))

    assert said(its) == said(ours)
