"""``sacred-replay.toml``: what it says, what is wrong with it, where secrets come from, ``--check``."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from sacred.replayers.errors import ReplayConfigError
from sacred.replayers.replay_config import ReplayConfig, health_address
from sacred.replayers.substitution import substituted

WHOLE = """
roots = ["sacred_runs", "other"]
to = ["lab", "backup"]
jobs = 4
follow = true
health = "127.0.0.1:8642"

[views.lab]
to = "mongodb://sacred:${LAB_PASSWORD}@db.lab:27017/x"
db = "sacred"
collection = "mine"

[views.backup]
to = "file:backup/runs"
copy_sources = false

[views.spare]
to = "sqlite:///runs.db"
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="sacred-replay.toml"):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_a_whole_file(write, tmp_path, monkeypatch):
    """Roots, views with options, secrets of the environment; paths are those of its folder."""
    monkeypatch.setenv("LAB_PASSWORD", "p@ss/word")
    monkeypatch.chdir("/")
    config = ReplayConfig.load(write(WHOLE))
    assert (tmp_path / "sacred_runs", tmp_path / "other") == config.roots
    assert (4, True, "127.0.0.1:8642") == (config.jobs, config.follow, config.health)
    lab, backup = config.specs
    assert "mongodb://sacred:p%40ss%2Fword@db.lab:27017/x" == lab.url
    assert {"db_name": "sacred", "collection": "mine"} == lab.options
    assert "mongo:sacred@db.lab:27017" == lab.name
    assert (str(tmp_path / "backup/runs"), {"copy_sources": False}) == (
        backup.url, dict(backup.options)
    )  # fmt: skip
    assert f"sqlite:///{tmp_path}/runs.db" == config.views["spare"].url
    assert "p@ss" not in repr(config)
    assert "p%40ss" not in repr(config)


def test_no_settings_are_all_views(write):
    """Without ``to`` all views are written; what is not said is left to the command line."""
    config = ReplayConfig.load(write('[views.a]\nto = "file:a"\n[views.b]\nto = "file:b"\n'))
    assert (("a", "b"), (), None, None, None) == (
        config.to, config.roots, config.jobs, config.follow, config.health
    )  # fmt: skip


VIEW = '[views.a]\nto = "file:a"\n'
BROKEN = [
    ("roots = [", "is no TOML: "),
    (b"\xff\xfe", "is no text in UTF-8"),
    ('root = ["x"]\n' + VIEW, "there is no setting root: did you mean roots?"),
    ("jbos = 3\n" + VIEW, "there is no setting jbos: did you mean jobs?"),
    ("zzz = 3\n" + VIEW, "there is no setting zzz: there are roots, views, to"),
    ('roots = "x"\n' + VIEW, 'roots is no list: write roots = ["DIR", "DIR"]'),
    ("roots = [3]\n" + VIEW, "roots, entry 1 is no folder: give a text"),
    ("jobs = 0\n" + VIEW, "jobs is no number from 1 to 64"),
    ("jobs = true\n" + VIEW, "jobs is no number from 1 to 64"),
    ('follow = "yes"\n' + VIEW, "follow is neither true nor false"),
    ("health = 8642\n" + VIEW, 'health is no text: write "127.0.0.1:8642"'),
    ('health = "here:99999"\n' + VIEW, "health is 'here:99999', whose port is none"),
    ('to = ["b"]\n' + VIEW, "to names b, and there is no [views.b]: there is a"),
    ('to = ["labb"]\n[views.lab]\nto = "file:a"\n', "no [views.labb]: did you mean lab?"),
    ('to = "a"\n' + VIEW, 'to is no list of names: write to = ["NAME"]'),
    ('views = "a"\n', "views is no table: write [views.NAME]"),
    ('views.a = "file:x"\n', 'views.a is no table: write [views.a] and to = "ADDRESS"'),
    ("[views.a]\n", 'views.a does not say where: write to = "ADDRESS" below it'),
    ('[views.a]\nurl = "file:x"\n', "views.a does not say where"),
    ('[views.a]\nto = "foo:x"\n', "views.a.to: there is no view 'foo'"),
    ('[views.a]\nto = "mongodb://h:port/db"\n', "views.a.to: 'port' is no port"),
    ('[views.mongo]\nto = "file:x"\n', "views.mongo: that is a kind of view"),
    ('[views."a b"]\nto = "file:x"\n', "a view's name has letters, digits, - and _ only"),
    (VIEW + "copy_source = true\n", "no setting views.a.copy_source: did you mean copy_sources?"),
    (
        '[views.w]\nto = "webhook:http://h/x"\ntimeout = -1\n',
        "views.w.timeout is -1: give seconds, up to 600",
    ),
    ('[views.s]\nto = "s3://bucket/x"\nendpoint_url = "h"\n', "views.s: endpoint_url is no address"),
    (VIEW + 'copy_sources = "yes"\n', "views.a.copy_sources is not true or false"),
    ('[views.a]\nto = "mongodb://u:${NOT_THERE}@h/db"\n',
     "views.a.to names ${NOT_THERE}, which the environment has not: set it"),
    ('[views.a]\nto = "file:${file:gone}"\n', "gone, which can not be read: No such file"),
    ('[views.a]\nto = "file:${1+1}"\n', "views.a.to names ${1+1}, which is no variable"),
    ('[views.a]\nto = "file:${HOME"\n', "has a ${ without its }"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), BROKEN)
def test_files_that_are_wrong(write, run_sacred, root, text, sentence):
    """Each is a sentence that says what to do, the nearest name for a misspelt one; exit code 2."""
    path = write(text)
    for arguments in (("--check",), ("--config", path, "--check"), ()):
        done = run_sacred(*arguments, name="replay_main")
        assert (2, "") == (done.code, done.out)
        assert f"sacred-replay: {path}" in done.err
        assert sentence in done.err


def test_all_that_is_wrong_is_said(write, run_sacred, root):
    """--check tells everything at once; who starts it is told the first thing and where the rest is."""
    write('jbos = 3\nfollow = 1\n[views.a]\nto = "foo:"\n')
    done = run_sacred("--check", name="replay_main")
    assert (2, 3) == (done.code, done.err.count("\n"))
    done = run_sacred(name="replay_main")
    assert (2, 1) == (done.code, done.err.count("\n"))
    assert "(and 2 more: --check tells)" in done.err


@pytest.mark.parametrize("path", ["gone.toml", ".", "sacred_runs/.sacred-journal"])
def test_files_that_are_none(run_sacred, root, path):
    """No file, a folder, something else: a sentence with the path, exit code 2."""
    done = run_sacred("--config", path, "--check", name="replay_main")
    assert (2, 1) == (done.code, done.err.count("\n"))
    assert path.rstrip(".") in done.err


def test_check_says_what_would_be_done(write, run_sacred, root, tmp_path):
    """--check names roots, views, jobs and health, tries nothing and writes nothing."""
    root.completed()
    text = WHOLE.replace(', "other"', "").replace("db.lab:27017", "127.0.0.1:1")
    write(text)
    done = run_sacred("--check", name="replay_main", env={"LAB_PASSWORD": "hush"})
    assert done.out.splitlines() == [
        f"settings  {tmp_path}/sacred-replay.toml",
        f"roots     {tmp_path}/sacred_runs  (1 run)",
        "views     lab     mongo:sacred@127.0.0.1:1",
        f"          backup  file:{tmp_path}/backup/runs",
        "jobs      4 for each view",
        "follow    yes, until SIGTERM",
        "health    http://127.0.0.1:8642/",
    ]
    assert (0, "") == (done.code, done.err)
    assert not (tmp_path / "backup").exists()
    assert "hush" not in done.out


def test_check_and_connect(write, run_sacred, root, tmp_path):
    """--connect opens the views: one that can be written, one whose server is not there; exit 3."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        write(
            f'[views.a]\nto = "file:out"\n[views.b]\nto = "mongodb://u:hush@127.0.0.1:{port}/db"\n'
            f'[views.c]\nto = "webhook:http://127.0.0.1:{port}/hush"\n'
        )
        done = run_sacred("--check", "--connect", name="replay_main")
    assert f"views     a  file:{tmp_path}/out  (can be written)\n" in done.out
    assert f"          b  mongo:db@127.0.0.1:{port}  (" in done.out
    told = f"webhook:127.0.0.1:{port}  (not tried: it can only be told of a run)"
    assert f"          c  {told}\n" in done.out
    assert "Connection refused" in done.out
    assert "hush" not in done.out + done.err
    assert 3 == done.code


def test_what_is_named_twice(write, run_sacred, root, tmp_path):
    """A root that is named by two paths, and a view that is given twice, are done once."""
    root.completed()
    write(f'roots = ["sacred_runs", "{tmp_path}/./sacred_runs"]\n{VIEW}')
    done = run_sacred("--to", "file:out", "--to", "file:out", "--root", root.path, "--root",
                      root.path, name="replay_main")  # fmt: skip
    assert (0, f"run 1 -> file:{tmp_path}/out: up to date\n") == (done.code, done.out)
    done = run_sacred("--check", name="replay_main")
    assert 1 == done.out.count("(1 run)")


def test_a_root_that_is_none(write, run_sacred, tmp_path):
    """--check says so; exit code 2."""
    write(f'roots = ["{tmp_path}/nowhere"]\n{VIEW}')
    done = run_sacred("--check", name="replay_main")
    assert 2 == done.code
    assert "nowhere" in done.err


def test_a_name_on_the_command_line(write, run_sacred, root, tmp_path):
    """--to NAME is the view of that name; one that is misspelt is told the nearest."""
    root.completed()
    write('[views.backup]\nto = "file:out"\n[views.lab]\nto = "file:lab"\n')
    done = run_sacred("--to", "backup", name="replay_main")
    assert (0, f"run 1 -> file:{tmp_path}/out: up to date\n") == (done.code, done.out)
    assert f"sacred-replay: the settings are those of {tmp_path}/sacred-replay.toml\n" == done.err
    assert not (tmp_path / "lab").exists()
    done = run_sacred("--to", "bakcup", name="replay_main")
    assert (2, True) == (done.code, "has no view 'bakcup': did you mean backup?" in done.err)


def test_several_roots(write, run_sacred, root, tmp_path):
    """Without --follow, root by root; a RUN of several roots is ambiguous."""
    from tests.cli.conftest import Root

    root.completed()
    other = Root(tmp_path / "other")
    other.journals.create()
    other.completed()
    to = ["--to", f"file:{tmp_path / 'out'}", "--root", root.path, "--root", other.path]
    done = run_sacred(*to, name="replay_main")
    assert 0 == done.code
    assert [f"run 1 -> file:{tmp_path}/out: up to date",
            f"run 1 -> file:{tmp_path}/out as 2: up to date"] == done.out.splitlines()  # fmt: skip
    done = run_sacred(*to, "1", name="replay_main")
    assert (2, True) == (done.code, "name the root with --root" in done.err)


def test_the_users_own_file(run_sacred, root, tmp_path, write):
    """~/.config/sacred has one for every folder; the one of the folder comes first."""
    home = tmp_path / "home"
    (home / "sacred").mkdir(parents=True)
    (home / "sacred" / "sacred-replay.toml").write_text('[views.mine]\nto = "file:mine"\n')
    env = {"XDG_CONFIG_HOME": str(home)}
    done = run_sacred("--check", name="replay_main", env=env)
    assert f"views     mine  file:{home}/sacred/mine\n" in done.out
    write(VIEW)
    done = run_sacred("--check", name="replay_main", env=env)
    assert f"views     a  file:{tmp_path}/a\n" in done.out


def test_an_address_needs_no_settings(write, run_sacred, root, tmp_path):
    """A file that is wrong stops nobody who asks for an address."""
    root.completed()
    write("broken")
    done = run_sacred("--to", f"file:{tmp_path / 'out'}", name="replay_main")
    assert (0, "") == (done.code, done.err)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", "plain"),
        ("${A}", "a@b:c/d"),
        ("mongodb://u:${A}@h/${B}", "mongodb://u:a%40b%3Ac%2Fd@h/b"),
        ("mongodb://${B}/db", "mongodb://b/db"),
        ("$${A}", "${A}"),
        ("$A", "$A"),
        ("https://${B}/x@${A}", "https://b/x@a@b:c/d"),
        ("postgresql://${B}:${file:secret}@h/db", "postgresql://b:s%3Fc%20r@h/db"),
        ("${file:${B}}", None),
        ("${file:$B/../secret}", "s?c r"),
    ],
)
def test_what_is_put_in(tmp_path, monkeypatch, text, found):
    """Values are quoted where user and password of an address stand, and nowhere else."""
    monkeypatch.setenv("A", "a@b:c/d")
    monkeypatch.setenv("B", "b")
    (tmp_path / "b").mkdir()
    (tmp_path / "secret").write_text("s?c r\n")
    if found is None:
        with pytest.raises(ReplayConfigError, match="without its"):
            substituted(text, "x", tmp_path)
    else:
        assert found == substituted(text, "x", tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff", b"x" * 70000])
def test_files_that_hold_no_secret(tmp_path, content):
    """What is not one line of text is said, without what it holds."""
    (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ReplayConfigError) as caught:
        substituted("${file:secret}", "x", tmp_path)
    assert "two" not in str(caught.value)


def test_addresses_of_health():
    """Without a host it is this machine's own address; a path is none."""
    assert ("127.0.0.1", 80) == health_address(":80")
    assert ("0.0.0.0", 80) == health_address("0.0.0.0:80")
    assert ("::1", 80) == health_address("[::1]:80")
    assert None is health_address("/run/x:80")
    assert None is health_address("file.json")


def test_secrets_of_a_command_line(run_sacred, root, tmp_path):
    """``${NAME}`` in --to is put in by us: the address with the password is in no command line."""
    root.completed()
    (tmp_path / "where").write_text(f"{tmp_path}/out")
    done = run_sacred("--to", "file:${file:where}", name="replay_main")
    assert (0, f"run 1 -> file:{tmp_path}/out: up to date\n") == (done.code, done.out)
    assert Path(tmp_path / "out" / "1").is_dir()


def test_two_views_of_one_place(write, run_sacred, root, tmp_path):
    """Both would write the same runs: told, with the names of both; one of them alone is fine."""
    text = f'[views.a]\nto = "file:{tmp_path}/out"\n[views.b]\nto = "file:{tmp_path}/x/../out"\n'
    path = write(text)
    done = run_sacred("replay", "--check", "--config", str(path), "--root", str(root.path))
    assert done.code == 2
    assert "views.b is the same place as views.a" in done.err
    write('to = ["b"]\n' + text)
    done = run_sacred("replay", "--check", "--config", str(path), "--root", str(root.path))
    assert done.code == 0


def test_a_variable_of_a_path_that_is_not_set(write, run_sacred, root, monkeypatch):
    """The sentence names the variable, and who sets it."""
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = write('[views.a]\nto = "mongodb://x:${file:$CREDENTIALS_DIRECTORY/mongo}@db/lab"\n')
    done = run_sacred("replay", "--check", "--config", str(path), "--root", str(root.path))
    assert done.code == 2
    assert "the environment has no CREDENTIALS_DIRECTORY" in done.err
    assert "LoadCredential=" in done.err


def test_a_secret_that_everybody_may_read(write, run_sacred, root, tmp_path):
    """It is used, and warned of by --check and at each start; not if the way to it is barred."""
    places = [*reversed(tmp_path.parents), tmp_path]
    opened = [one for one in places if not one.stat().st_mode & 0o001]
    for one in opened:  # the folders of tests are their user's alone
        one.chmod(one.stat().st_mode | 0o011)
    secret = tmp_path / "secret"
    secret.write_text("out\n")
    secret.chmod(0o644)
    path = write('[views.a]\nto = "file:${file:secret}"\n')
    ask = ("replay", "--config", str(path), "--root", str(root.path))
    try:
        for more in (["--check"], []):
            done = run_sacred(*ask, *more)
            assert done.code == 0
            assert f"which everybody here may read: chmod 600 {secret}" in done.err
        secret.chmod(0o600)
        assert "everybody" not in run_sacred(*ask).err
        secret.chmod(0o644)
        tmp_path.chmod(0o700)
        assert "everybody" not in run_sacred(*ask).err
    finally:
        for one in opened:
            one.chmod(one.stat().st_mode & ~0o011)
