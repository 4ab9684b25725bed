"""The page about sinks: its code is installed as it stands, and keeps what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from servers.couch import CouchServer
from servers.web import Reply

import sacred
from sacred.journal.root import JournalRoot
from sacred.replayers.contract import write_run

PAGE = (Path(__file__).parents[2] / "docs" / "write-a-sink.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- test: file (\S+) -->\n```\w+\n(.*?)^```", PAGE, re.S | re.M))
PACKAGE = Path(sacred.__path__[0]).parent
LIMIT = 550


@pytest.fixture
def server():
    """A server that answers as CouchDB."""
    with CouchServer() as server:
        yield server


@pytest.fixture
def place(tmp_path):
    """A folder of Python's path in which the page's package is installed."""
    place = tmp_path / "site"
    about = place / "sacred_couch-1.0.dist-info"
    about.mkdir(parents=True)
    for name in ("sacred_couch.py", "test_sacred_couch.py"):
        (place / name).write_text(FILES[name], encoding="utf-8")
    project = FILES["pyproject.toml"]
    group = re.search(r'^\[project\.entry-points\."(.+)"\]\n((?:.+ = .+\n)+)', project, re.M)
    points = f"[{group[1]}]\n{group[2]}".replace('"', "")
    (about / "entry_points.txt").write_text(points)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sacred-couch\nVersion: 1.0\n")
    return place


def run(place, *words, **more):
    """Run Python where the package is installed."""
    env = {**os.environ, "PYTHONPATH": f"{place}{os.pathsep}{PACKAGE}", "no_proxy": "127.0.0.1"}
    env.pop("COUCHDB_LOGIN", None)
    return subprocess.run(
        [sys.executable, *words],
        cwd=place.parent,
        env={**env, **more},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def replayed(place, *words, **more):
    """Run ``sacred-replay``."""
    return run(place, "-m", "sacred", "replay", *words, **more)


@pytest.fixture
def runs(place):
    """Two runs in ``sacred_runs``."""
    root = JournalRoot(place.parent / "sacred_runs")
    for _ in range(2):
        write_run(root.claim())
    return root


def test_the_sink_is_short():
    """The page's sink has fewer than 80 lines."""
    assert len(FILES["sacred_couch.py"].splitlines()) < 80


@pytest.mark.slow
def test_the_contract_holds(place, server):
    """The page's test, run by pytest, on a real HTTP server: the whole contract."""
    options = ("-q", "-c", os.devnull, "--rootdir", str(place), "-p", "no:cacheprovider")
    test = str(place / "test_sacred_couch.py")
    done = run(place, "-m", "pytest", *options, test, COUCHDB_URL=server.url)
    assert 0 == done.returncode, done.stdout[-8000:] + done.stderr
    assert re.search(r"^\d\d passed", done.stdout.splitlines()[-1]), done.stdout


def test_runs_arrive(place, runs, server):
    """The command of the page: the runs are documents, with points, output and files."""
    server.databases["runs"] = {}
    done = replayed(place, "--to", f"couch:{server.url}/runs")
    assert (0, "") == (done.returncode, done.stderr)
    assert 2 == done.stdout.count("up to date")
    documents = server.databases["runs"]
    assert {"run-1", "run-2"} == {name for name in documents if name.startswith("run-")}
    found = documents["run-2"]
    assert ("COMPLETED", 42) == (found["run"]["status"], found["run"]["result"])
    assert list(range(50)) == found["metrics"]["loss"]["steps"]
    assert 2 == sum(name.startswith("file-") for name in documents)
    before = dict(documents)
    assert 0 == replayed(place, "--to", f"couch:{server.url}/runs").returncode
    assert before == documents


def test_the_help_names_it(place):
    """``sacred-replay --help`` has the sinks of other packages, and who brought them."""
    done = replayed(place, "--help")
    assert 0 == done.returncode
    assert re.search(r"Views of other packages:\n\s+couch:\.\.\.\s+from sacred-couch", done.stdout)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("couhc:http://h/db", "there is no view 'couhc'. Did you mean couch?"),
        ("couch:h", "write --to couch:http://host:5984/database, without a password"),
        ("couch:http://me:SECRET@h/db", "without a password"),
        ("nowhere", "couch:..., mongo."),
    ],
)
def test_a_wrong_address_is_a_sentence(place, runs, address, says):
    """A misspelt name, and an address that the sink refuses: one sentence, status 2, no password."""
    done = replayed(place, "--to", address)
    assert 2 == done.returncode
    assert says in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert "SECRET" not in done.stderr


def test_what_the_server_answers_is_a_sentence(place, runs, server):
    """No database and a refused user stop the view; a server that is down leaves it behind."""
    done = replayed(place, "--to", f"couch:{server.url}/runs", "1")
    assert 1 == done.returncode
    assert "is no database: curl -X PUT makes it one" in done.stdout
    server.plan = [Reply(401, "{}")]
    done = replayed(place, "--to", f"couch:{server.url}/runs", "1")
    assert 1 == done.returncode
    assert "refuses (401): set COUCHDB_LOGIN=user:password" in done.stdout
    server.plan = [Reply(200, "<html>")]
    done = replayed(place, "--to", f"couch:{server.url}/runs", "1")
    assert (1, True) == (done.returncode, "is no CouchDB" in done.stdout)
    done = replayed(place, "--to", "couch:http://127.0.0.1:1/runs", "1")
    assert (3, True) == (done.returncode, "does not answer" in done.stdout)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import nowhere_at_all", "needs the module nowhere_at_all, which is not installed"),
        ("1 / 0", "can not be loaded from sacred_couch:CouchSink: ZeroDivisionError"),
        ("", "can not be loaded from sacred_couch:CouchSink: AttributeError"),
        ("class CouchSink: pass", "is no sink: sacred_couch:CouchSink has no open, claim"),
        ("CouchSink = 3", "is no sink: sacred_couch:CouchSink is no class"),
    ],
)
def test_a_package_that_is_broken(place, runs, program, says):
    """A package that fails to import gives one sentence that names it; other views are not hurt by it."""
    (place / "sacred_couch.py").write_text(program)
    done = replayed(place, "--to", "couch:http://127.0.0.1:1/runs")
    assert 2 == done.returncode
    assert 1 == len(done.stderr.splitlines())
    assert "the view 'couch' of the package sacred-couch " in done.stderr
    assert says in done.stderr
    assert 0 == replayed(place, "--to", "file:tree").returncode
    assert 0 == replayed(place, "--help").returncode


PARSED = """
class CouchSink:
    {}
    def __init__(self, spec):
        print(spec.url, spec.options, spec.name)
        raise SystemExit(0)
    open = claim = clear_claims = release = position = write = put_file = reset = close = print
"""


@pytest.mark.parametrize(
    ("how", "address", "says"),
    [
        ("", "couch:a/b?c=d", "a/b?c=d {} couch:a/b?c=d"),
        ("options = ('every',)", "couch:a/b?every=3", "a/b {'every': '3'} couch:a/b"),
        ("options = ('every',)", "couch:a?evry=3", "has no option 'evry': did you mean every?"),
        ("options = ()", "couch:a?x=3", "has no option 'x': it has none"),
        ("parse = staticmethod(lambda text: 3)", "couch:a", "its parse() returned int, and no"),
        ("parse = staticmethod(lambda text: 1 / 0)", "couch:a", "none of the view 'couch': Zero"),
    ],
)
def test_how_an_address_is_read(place, runs, how, address, says):
    """By the class's ``parse``, else by its ``options``, else as it stands."""
    (place / "sacred_couch.py").write_text(PARSED.format(how))
    done = replayed(place, "--to", address)
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
