"""Whatever lies under a name in a root, opening it waits for nothing and leads nowhere else."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pytest

from sacred.journal.regular_file import (
    create_regular,
    open_regular,
    read_regular,
    replace_regular,
)
from tests.journal.open_files import open_files


def put(kind, path):
    """Put something that is no regular file under a name."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to({"device": "/dev/zero", "circle": path.name}[kind])


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, kind):
    """A pipe that nobody writes into, a folder, a device that never ends: none is opened for reading."""
    put(kind, tmp_path / "name")
    with pytest.raises(OSError, match="it is no regular file") as refused:
        open_regular(tmp_path / "name")
    assert (errno.EINVAL, str(tmp_path / "name")) == (refused.value.errno, refused.value.filename)
    with pytest.raises(OSError, match="it is no regular file"):
        read_regular(tmp_path / "name", 10)
    assert {} == open_files(tmp_path / "name", tmp_path)


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_APPEND])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle", "socket"])
def test_what_is_no_file_is_not_written(tmp_path, monkeypatch, kind, flags):
    """Nor for writing, whatever the system says."""
    monkeypatch.chdir(tmp_path)  # the path of a socket may have a hundred characters
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("name")
    else:
        put(kind, tmp_path / "name")
    with pytest.raises(OSError, match=r"no regular|a link|Is a directory|No such device"):
        open_regular("name", flags)


def test_a_link_is_read_and_never_written_behind(tmp_path):
    """What is read may lie elsewhere; what is written stays in its folder."""
    (tmp_path / "elsewhere").write_bytes(b"content")
    (tmp_path / "name").symlink_to("elsewhere")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert b"content" == read_regular(tmp_path / "name", 7)
    for name in ("name", "dangling"):
        for flags in (os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_TRUNC):
            with pytest.raises(OSError, match="it is a link") as refused:
                open_regular(tmp_path / name, flags)
            assert errno.ELOOP == refused.value.errno
        with pytest.raises(FileExistsError):
            create_regular(tmp_path / name, "other")
    assert b"content" == (tmp_path / "elsewhere").read_bytes()
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "dangling", 7)


def test_only_so_much_is_read(tmp_path):
    """A file that says to be a terabyte costs what was asked for."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        read_regular(tmp_path / "large", 4096)


def test_what_is_made_is_new(tmp_path):
    """A file is made where nothing was, and not inherited by programs that are started."""
    create_regular(tmp_path / "new", "Grüße\n")
    assert "Grüße\n".encode() == read_regular(tmp_path / "new", 100)
    with pytest.raises(FileExistsError):
        create_regular(tmp_path / "new", "other")
    descriptor = open_regular(tmp_path / "new")
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


@pytest.mark.parametrize("kind", ["nothing", "file", "pipe", "device"])
def test_a_content_is_replaced_whole(tmp_path, kind):
    """Whatever has the name is replaced, nothing is written through it, and nothing is left beside."""
    path = tmp_path / "a.json"
    if kind == "file":
        path.write_text("an older and longer content")
    elif kind != "nothing":
        put(kind, path)
    replace_regular(path, "new\n")
    assert b"new\n" == read_regular(path, 100)
    assert ["a.json"] == os.listdir(tmp_path)


def test_a_content_that_can_not_be_replaced(tmp_path):
    """An error leaves what was there, and nothing else."""
    put("folder", tmp_path / "a.json")
    with pytest.raises(OSError, match="a.json"):
        replace_regular(tmp_path / "a.json", "new\n")
    with pytest.raises(FileNotFoundError):
        replace_regular(tmp_path / "none" / "a.json", "new\n")
    assert ["a.json"] == os.listdir(tmp_path)


def test_a_pipe_is_opened_by_somebody_who_does_not_wait(tmp_path):
    """In a process of its own, which is ended if it waits."""
    os.mkfifo(tmp_path / "name")
    code = "import sys; from sacred.journal.regular_file import open_regular; open_regular(sys.argv[1])"
    command = [sys.executable, "-c", code, str(tmp_path / "name")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert "it is no regular file" in done.stderr
