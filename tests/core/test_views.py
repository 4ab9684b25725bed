"""The declared views of a run: in which order they are asked, and who is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sacred import Experiment
from sacred.core import views as views_module
from sacred.core.launch import ClaimAnswer, ViewState
from sacred.core.views import (
    Behind,
    RunViews,
    ViewRequiredError,
    declared_view,
    plain_document,
)
from sacred.journal.finding import start_fields
from sacred.journal.root import JournalRoot
from sacred.observers import FileStorageObserver, MongoObserver

if TYPE_CHECKING:
    from pathlib import Path


class _Server:
    """Declares a view of a server."""

    def __init__(self, name: str = "mongo:d@h", *, required: bool = False) -> None:
        self.name = name
        self.required = required
        self.began: dict[str, Any] = {}

    def declare_view(self) -> dict[str, Any]:
        url = "mongodb://me:secret@h"
        return {"kind": "mongo", "url": url, "name": self.name, "options": {"client": {"p": 1}}}

    def run_began(self, **began: Any) -> None:
        self.began = began


class _Folder(_Server):
    """Declares a view that is claimed in the process."""

    claims: list[dict[str, Any]]

    def claim_run(self, **claim: Any) -> int:
        self.claims = [*getattr(self, "claims", []), claim]
        return 4


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> mock.Mock:
    made = mock.Mock()
    made.claim.return_value = ClaimAnswer(42)
    monkeypatch.setattr("sacred.core.launch.replayer_link", lambda *_, **__: made)
    return made


def test_only_a_class_declares(link: mock.Mock) -> None:
    """USE-06: a plain mock has every attribute and declares nothing."""
    assert declared_view(mock.Mock()) is None
    assert declared_view(object()) is None
    assert declared_view(_Server()) is not None
    assert not RunViews([mock.Mock()], "/r", "ab")


def test_a_server_is_asked_when_there_is_no_id(link: mock.Mock) -> None:
    """R14: a server gives the id; once there is one it is not asked before main()."""
    server = _Server()
    views = RunViews([server], "/r", "ab")
    assert 42 == views.claim(server, None, {"name": "x"})
    assert views.claim(server, 7, {"name": "x"}) is None
    assert 1 == link.claim.call_count
    assert views_module.CLAIM_WAIT == link.claim.call_args.args[4]


def test_several_servers_share_the_wait_for_an_id(
    link: mock.Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R14: three that say nothing cost the wait of one, and a quarter of a second each."""
    now = [100.0]
    monkeypatch.setattr(views_module, "time", mock.Mock(monotonic=lambda: now[0]))
    waits = []

    def silent(*arguments: Any) -> ClaimAnswer:
        waits.append(arguments[4])
        now[0] += arguments[4]
        return ClaimAnswer(None)

    link.claim.side_effect = silent
    servers = [_Server(), _Server(), _Server()]
    views = RunViews(servers, "/r", "ab")
    assert [None] * 3 == [views.claim(one, None, {}) for one in servers]
    assert [2.0, 0.25, 0.25] == waits


def test_a_file_view_is_always_claimed(link: mock.Mock) -> None:
    """USE-16: its folder is there inside main(), also when the id comes from elsewhere."""
    folder = _Folder()
    views = RunViews([folder], "/r", "ab")
    assert 4 == views.claim(folder, None, {})
    assert views.claim(folder, 9, {}, is_given=True) is None
    assert [(None, False), (9, True)] == [(c["run_id"], c["strict"]) for c in folder.claims]
    assert not link.claim.called


def test_a_required_view_that_does_not_answer_is_an_error(link: mock.Mock) -> None:
    """required=True gives Sacred's old promise."""
    link.claim.return_value = ClaimAnswer(None, "refused")
    server = _Server(required=True)
    with pytest.raises(ViewRequiredError, match="mongo:d@h can not be written: refused"):
        RunViews([server], "/r", "ab").claim(server, None, {})


def test_the_journal_is_given_to_all(link: mock.Mock) -> None:
    """One command for all views of a run; their names are unique."""
    first, second = _Server(), _Server()
    views = RunViews([first, second], "/r", "ab")
    views.follow("/r/1", 1)
    folder, journal_id, run_id, specs = link.follow.call_args.args
    assert ("/r/1", "ab", 1) == (folder, journal_id, run_id)
    assert ["mongo:d@h", "mongo:d@h#2"] == [spec["name"] for spec in specs]
    assert "mongo:d@h#2" == second.began["view"]


def test_who_is_behind(link: mock.Mock) -> None:
    """The end tells which views do not have everything, and why."""
    server = _Server()
    views = RunViews([server], "/r", "ab")
    assert [] == views.wait([], 1.0)
    views.follow("/r/1", 1)
    link.wait.return_value = {
        "mongo:d@h": ViewState("behind", "down"),
        "x": ViewState("current"),
        "file:y": ViewState("failed", "refused"),
    }
    assert [("mongo:d@h", "down", False), ("file:y", "refused", True)] == [
        tuple(behind) for behind in views.wait([], 1.0)
    ]


def test_only_what_is_required_is_waited_for_long(link: mock.Mock) -> None:
    """A view that may be behind does not hold up the end because another one may not."""
    views = RunViews([_Server(required=True), _Server("sql:x")], "/r", "ab")
    views.follow("/r/1", 1)
    link.wait.return_value = {}
    views.wait([], 10.0)
    link.wait.assert_called_once_with("/r/1", [], 10.0, {"mongo:d@h": views_module.REQUIRED_WAIT})


def test_a_view_that_failed_is_said_once(link: mock.Mock) -> None:
    """In a sentence, while the run goes on; not again where it refused to give an id."""
    link.claim.return_value = ClaimAnswer(None, "the login is refused")
    first, second = _Server(), _Server("sql:x")
    views = RunViews([first, second], "/r", "ab")
    assert [] == views.failed()
    views.claim(first, None, {})
    views.follow("/r/1", 1)
    link.failures.return_value = {}
    assert [] == views.failed()
    link.failures.return_value = {"mongo:d@h": "the login is refused", "sql:x": "a foreign schema"}
    assert ["The view sql:x can not be written: a foreign schema."] == views.failed()
    assert [] == views.failed()
    link.failures.assert_called_with("/r/1")


def test_the_end_names_a_failed_view_as_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a view that failed says begins with its name, which is no word to be written large."""
    monkeypatch.chdir(tmp_path)
    behind = [Behind("sql:x", "sql:x refuses the login", failed=True)]
    monkeypatch.setattr(RunViews, "wait", lambda *_: behind)
    ex = Experiment("named", save_git_info=False)
    ex.main(lambda: None)
    ex.observers.append(FileStorageObserver("out"))
    ex.run()
    (end,) = [text for text in caplog.messages if "The run is safe in" in text]
    assert end.startswith("The view sql:x refuses the login. The run is safe in")


def test_no_secret_is_recorded(link: mock.Mock) -> None:
    """The journal names the views without passwords and client keywords."""
    public = RunViews([_Server()], "/r", "ab").public()
    assert "secret" not in repr(public)
    assert [{}] == [view["options"] for view in public]


def test_a_name_is_recorded_as_it_is(
    link: mock.Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view's name looks like me:secret@host and holds no secret: nothing of it is masked."""
    monkeypatch.setenv("SACRED_JOURNAL_ROOT", str(tmp_path))
    link.wait.return_value = {}
    ex = Experiment("named", interactive=True)

    @ex.main
    def main() -> None:
        pass

    ex.observers.append(MongoObserver(url="mongodb://me:secret@localhost:27017", db_name="lab"))
    ex.run()
    (folder,) = JournalRoot(tmp_path).runs()
    (view,) = start_fields(folder)["views"]
    assert "mongo:lab@localhost:27017" == view["name"]
    assert "secret" not in repr(view)


def test_a_document_for_json() -> None:
    """Keys become text, tuples lists."""
    assert {"1": {"a": [1, 2]}} == plain_document({1: {"a": (1, 2)}})


def test_a_folder_that_can_not_be_made_does_not_stop_a_run(link: mock.Mock) -> None:
    """Views never stop a run; a required one does, and an id that is taken."""
    for error, required, raised in (
        (PermissionError("no"), False, None),
        (PermissionError("no"), True, ViewRequiredError),
        (FileExistsError("taken"), False, FileExistsError),
    ):
        folder = _Folder(required=required)
        folder.claim_run = mock.Mock(side_effect=error)  # type: ignore[method-assign]
        views = RunViews([folder], "/r", "ab")
        if raised is None:
            assert views.claim(folder, None, {}) is None
        else:
            with pytest.raises(raised):
                views.claim(folder, None, {})
