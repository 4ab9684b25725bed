"""The uncommitted changes of a working tree, with a real git."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from sacred.core import working_tree
from sacred.core.working_tree import Changes, uncommitted_changes

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs a git program")

LIMIT = 1 << 20


def git(folder, *arguments, **options):
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder), *arguments],
        capture_output=True,
        timeout=100,
        check=True,
        **options,
    )
    return done.stdout


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """Nothing of the environment that runs the tests."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def repository(tmp_path):
    """A repository of one commit: a text, a binary file, a file in a folder."""
    folder = tmp_path / "repo"
    (folder / "sub").mkdir(parents=True)
    git(folder.parent, "init", "-q", str(folder))
    (folder / "a.py").write_text("".join(f"line {n}\n" for n in range(40)))
    (folder / "sub" / "b ü.py").write_text("b = 1\n")
    (folder / "data.bin").write_bytes(bytes(range(256)))
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def change(repository):
    text = (repository / "a.py").read_text()
    (repository / "a.py").write_text(text.replace("line 5\n", "line five\n") + "last")
    (repository / "sub" / "b ü.py").rename(repository / "sub" / "c.py")
    (repository / "data.bin").write_bytes(bytes(range(255, -1, -1)))
    git(repository, "add", "sub/c.py")


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }


def test_the_patch_makes_the_tree_again(repository, tmp_path):
    """Texts, binary files, renames and missing line ends: `git apply` on the commit gives them."""
    change(repository)
    patch, note = uncommitted_changes(str(repository), LIMIT)
    assert note is None
    again = tmp_path / "again"
    git(tmp_path, "clone", "-q", str(repository), str(again))
    git(again, "apply", "-", input=patch)
    assert files(repository) == files(again)


def test_the_patch_is_the_same_whatever_the_configuration_says(repository, monkeypatch):
    """No colour, prefix, algorithm or program of the user's changes a byte of it."""
    change(repository)
    before = uncommitted_changes(str(repository), LIMIT)
    for setting in (
        "color.ui=always",
        "diff.noprefix=true",
        "diff.mnemonicPrefix=true",
        "diff.algorithm=histogram",
        "diff.context=0",
        "diff.interHunkContext=9",
        "diff.external=false",
        "diff.renames=false",
        "diff.orderFile=/no/such/file",
        "diff.submodule=log",
        "diff.suppressBlankEmpty=true",
        "diff.wordRegex=.",
        "core.quotePath=false",
        "core.abbrev=5",
        "core.pager=false",
    ):
        git(repository, "config", *setting.split("=", 1))
    monkeypatch.setenv("GIT_DIFF_OPTS", "-u9")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert before == uncommitted_changes(str(repository), LIMIT)
    assert before.patch
    assert b"rename" not in before.patch


def test_untracked_files_are_not_in_it(repository):
    """What git does not know may be anything, data or secrets."""
    (repository / "new.py").write_text("secret")
    assert Changes(b"") == uncommitted_changes(str(repository), LIMIT)


def test_files_that_hold_secrets_can_be_left_out(repository):
    """Patterns count in every folder, in upper and lower case."""
    for name in (".env", "sub/.ENV", "sub/server.pem", "plain.txt"):
        (repository / name).write_text("before\n")
    git(repository, "add", "-Af")
    git(repository, "commit", "-qm", "second")
    for name in (".env", "sub/.ENV", "sub/server.pem", "plain.txt"):
        (repository / name).write_text("after\n")
    patch, _ = uncommitted_changes(str(repository), LIMIT, [".env", "*.pem"])
    assert [b"diff --git a/plain.txt b/plain.txt"] == [
        line for line in patch.splitlines() if line.startswith(b"diff ")
    ]


def test_binary_files_that_are_too_large_are_named(repository):
    """The texts are kept, and the note says what is missing."""
    change(repository)
    (repository / "data.bin").write_bytes(os.urandom(40_000))
    patch, note = uncommitted_changes(str(repository), 20_000)
    assert b"Binary files a/data.bin and b/data.bin differ" in patch
    assert b"+line five" in patch
    assert "only named" in note
    assert "SETTINGS.GIT.MAX_DIFF_SIZE" in note


def test_changes_that_are_too_large_are_not_recorded(repository):
    """Beyond the limit nothing is kept, git is stopped, and a note says so."""
    (repository / "a.py").write_text("".join(f"{n}\n" for n in range(300_000)))
    patch, note = uncommitted_changes(str(repository), 1000)
    assert patch is None
    assert "larger than 1000 bytes (SETTINGS.GIT.MAX_DIFF_SIZE)" in note


def test_of_a_submodule_the_commit_counts(repository, tmp_path):
    """A submodule on another commit is a line of the patch; changes inside of it are not."""
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "x").write_text("1")
    git(inner, "add", "x")
    git(inner, "commit", "-qm", "x")
    allow = ("-c", "protocol.file.allow=always")
    git(repository, *allow, "submodule", "add", "-q", str(inner), "mod")
    git(repository, "commit", "-qm", "with a submodule")
    (repository / "mod" / "x").write_text("2")
    assert Changes(b"") == uncommitted_changes(str(repository), LIMIT)
    git(repository / "mod", "commit", "-qam", "y")
    patch, _ = uncommitted_changes(str(repository), LIMIT)
    commit = git(repository / "mod", "rev-parse", "HEAD").strip()
    assert b"\n+Subproject commit " + commit in patch


def fake_git(tmp_path, monkeypatch, body):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "git"
    program.write_text(f"#!{sys.executable} -S\n{body}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_a_git_that_hangs(repository, tmp_path, monkeypatch):
    """git has a time limit, after which there is no patch and a note."""
    monkeypatch.setattr(working_tree, "DIFF_TIMEOUT", 0.1)
    fake_git(tmp_path, monkeypatch, "import time; print('half', flush=True); time.sleep(600)")
    patch, note = uncommitted_changes(str(repository), LIMIT)
    assert patch is None
    assert note.endswith("are not recorded: git took longer than 0.1 seconds")


def test_a_git_that_fails(repository, tmp_path, monkeypatch):
    """A git that fails, or is not there, gives a note and no error."""
    fake_git(tmp_path, monkeypatch, "print('half'); raise SystemExit(7)")
    patch, note = uncommitted_changes(str(repository), LIMIT)
    assert (None, True) == (patch, note.endswith("git ended with status 7"))
    monkeypatch.setenv("PATH", str(tmp_path))
    patch, note = uncommitted_changes(str(repository), LIMIT)
    assert (None, True) == (patch, "git can not be started" in note)


def test_the_index_is_not_written(repository):
    """Asking changes nothing in the repository."""
    (repository / "a.py").touch()
    before = (repository / ".git" / "index").read_bytes()
    uncommitted_changes(str(repository), LIMIT)
    assert before == (repository / ".git" / "index").read_bytes()
