"""``sacred sql``: question after question, at a prompt and from a pipe."""

from __future__ import annotations

import os
import re
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sacred.analysis.statement_words import StatementWords, split_statements
from sacred.replayers.contract import write_run
from sacred.replayers.relations import RELATIONS
from tests.cli.test_watch import Session


@pytest.fixture
def runs(tmp_path):
    """A root of two runs, as the prompt's commands find it."""
    from sacred.journal.root import JournalRoot

    root = JournalRoot(tmp_path / "sacred_runs")
    for _ in range(2):
        write_run(root.claim(), points=5)
    return root


@pytest.fixture
def prompt(tmp_path, runs, monkeypatch):
    """The prompt on a terminal of its own, ready."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PROMPT_TOOLKIT_NO_CPR", "1")  # nobody answers where the cursor is
    session = Session(tmp_path, "sql")
    session.until(r"2 runs in .*Ctrl-D ends")
    session.until(r"sql>")
    yield session
    if session.process.poll() is None:
        session.process.kill()
        session.end()


def _answered(prompt, typed, pattern):
    """Type something, and read until its answer and the next prompt are there; return them."""
    prompt.press(typed)
    return _plain(prompt.until(rf"(?:{pattern})[\s\S]*sql>"))


def _plain(text):
    """What a terminal shows, without what moves its cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r", "", text)


def test_questions_at_the_prompt(prompt):
    """A statement may have several lines and ends with a semicolon; an error ends nothing."""
    prompt.press(b"select count(*) as n,\r")
    said = _answered(prompt, b"min(value) as least from metrics;\r", r"14 +0\.0")
    assert re.search(r"n +least\s+14 +0\.0", said)
    assert "nothing" in _answered(prompt, b"select nothing from runs;\r", "there is no column")
    _answered(prompt, b"delete from runs;\r", "journals are never changed")
    prompt.press(b"\\q\r")
    assert 0 == prompt.end()
    assert prompt.before == prompt.after


def test_new_points_are_there_at_the_next_question(prompt, runs):
    """Each question sees the runs as they are then."""
    _answered(prompt, b"select count(*) as n from runs;\r", r"n\s+2")
    write_run(runs.claim())
    _answered(prompt, b"select count(*) as n from runs;\r", r"n\s+3")
    prompt.press(b"\x04")
    assert 0 == prompt.end()


def test_commands_of_the_prompt(prompt):
    """Tables and columns are told, answers shown as records or JSON, a wrong command named."""
    _answered(prompt, b"\\d\r", r"hosts")
    _answered(prompt, b"\\d metrics\r", r"value_text")
    _answered(prompt, b"\\d metricks\r", r"did you mean metrics\?")
    _answered(prompt, b"\\json\r", r"rows as JSON")
    _answered(prompt, b"select 1 as one;\r", r'\{"one": 1\}')
    _answered(prompt, b"\\x\r", r"one below the other")
    _answered(prompt, b"\\nothing\r", r"there is no \\nothing")
    _answered(prompt, b"\\?\r", r"leave \(Ctrl-D\)")


def test_ctrl_c_gives_up_what_is_typed_and_what_is_asked(prompt):
    """Neither ends the prompt; the terminal is whole at the end."""
    prompt.press(b"select 1 as unfinis")
    prompt.until(r"unfinis")
    prompt.press(b"\x03")
    prompt.until(r"sql>")
    prompt.press(b"select sum(a.range * b.range) from range(10000000) a, range(10000000) b;\r")
    prompt.until(r"10000000\) b;")
    prompt.until(r"\n")
    while "given up" not in prompt.shown:
        prompt.press(b"\x03")
        try:
            prompt.until(r"given up", seconds=1)
        except AssertionError:
            continue
    _answered(prompt, b"select 40 + 2 as answer;\r", r"answer\s+42")
    prompt.press(b"\x04")
    assert 0 == prompt.end()
    assert prompt.before == prompt.after


def test_what_was_typed_is_kept_for_oneself(prompt, tmp_path):
    """The history lies in the user's folder for states, and nobody else may read it."""
    _answered(prompt, b"select 12345 as remembered;\r", r"remembered\s+12345")
    prompt.press(b"\x04")
    assert 0 == prompt.end()
    path = tmp_path / "state" / "sacred-journal" / "sql-history"
    assert "12345" in path.read_text()
    assert 0o600 == stat.S_IMODE(os.stat(path).st_mode)


def test_tab_completes(prompt):
    """Tab writes the one word that fits."""
    prompt.press(b"select run from artif\t")
    prompt.until(r"acts")
    _answered(prompt, b";\r", r"run\s+1")


def test_statements_from_a_pipe(run_sacred, runs, tmp_path):
    """Statements are answered one after the other; the first error ends it with exit code 2."""
    del runs
    done = run_sacred("-J", str(tmp_path), "sql", input=b"select 1 as a; from runs select run;\n")
    assert (0, "a\n1\nrun\n1\n2\n") == (done.code, done.out)
    done = run_sacred("-J", str(tmp_path), "sql", input=b"select 1 as a; select x; select 2 as b;")
    assert (2, "a\n1\n") == (done.code, done.out)
    assert 'column "x"' in done.err


@pytest.mark.parametrize(
    ("text", "statements", "rest"),
    [
        ("select 1; select 2", ["select 1"], "select 2"),
        ("select ';' as x;", ["select ';' as x"], ""),
        ('select 1 as ";"; -- ;\n', ['select 1 as ";"'], "-- ;"),
        ("select /* ; */ 1", [], "select /* ; */ 1"),
        (";;", [], ""),
        ("select 'ä;ö' as ü; x", ["select 'ä;ö' as ü"], "x"),
        ("select 'open;", [], "select 'open;"),
    ],
)
def test_where_a_statement_ends(text, statements, rest):
    """A semicolon within a text, a name or a remark ends nothing."""
    assert (statements, rest) == split_statements(text)


@given(st.text(alphabet="ab;'\"- \n/*äß$(", max_size=40))
def test_nothing_typed_is_lost(text):
    """Statements and the rest together are what was typed, but for semicolons and space."""
    statements, rest = split_statements(text)
    kept = "".join([*statements, rest])
    assert re.sub(r"[;\s]", "", kept) == re.sub(r"[;\s]", "", text)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("select run from me", "metrics"),
        ("select va", "value"),
        ("select m.va from metrics m where m.va", "value"),
        ("select metrics.st", "step"),
        ("sel", "select"),
        ("describe ar", "artifacts"),
        ("select * from metrics where metric = 'lo", "loss"),
        ("select * from config where key in ('nested", "nested.a"),
        ("select * from runs where name = 'con", "contract"),
    ],
)
def test_words_that_fit(runs, text, first):
    """Tables, columns, keywords and the names that the runs have, by their place."""
    words = StatementWords(runs)
    found = words.at_end_of(text)
    assert first == found[0].text
    assert text.endswith(first[: found[0].typed])


def test_words_of_a_root_that_is_gone(tmp_path):
    """Where nothing can be read, there is less to offer, and no error."""
    from sacred.journal.root import JournalRoot

    words = StatementWords(JournalRoot(tmp_path / "gone"))
    assert [] == words.at_end_of("select * from runs where name = 'x")
    assert {word.text for word in words.at_end_of("from ")} == set(RELATIONS)
