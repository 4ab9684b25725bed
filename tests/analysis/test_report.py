"""The page of one run: what it shows, and that nothing of a run's becomes markup."""

from __future__ import annotations

import base64
import html.parser
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sacred.analysis.report import _shown, write_report
from sacred.journal import BlobStore, EventType, JournalRoot, JournalWriter
from sacred.journal.errors import NotAJournalError, OutputPlaceError

EVIL = "<script>alert(1)</script>\"'&\x1b[2J\u202e\x00"


class Page(html.parser.HTMLParser):
    """What a browser makes of it: elements with their attributes, and the text."""

    EMPTY = frozenset({"meta", "img", "br", "path", "circle"})

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.parts = [], [], []
        self.feed(text)
        self.close()
        self.text = "".join(self.parts)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.parts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def made(tmp_path):
    """A writer of a run, its store, and its page."""

    class Made:
        def __init__(self):
            root = JournalRoot(tmp_path / "root")
            root.create()
            self.folder = root.claim()
            self.store = BlobStore(root.blobs)
            self.writer = JournalWriter.create(self.folder.journal, blobs=self.store)
            self.path = tmp_path / "page.html"

        def start(self, **fields):
            about = {"name": "digits", "command": "main", "config": {}, "host": {}, "meta": {}}
            about |= {"experiment": {"name": "digits"}, **fields}
            self.writer.append(EventType.RUN_STARTED, run_id=1, **about)

        def artifact(self, name, content, **fields):
            stored = self.store.put_bytes(content)
            self.writer.append(
                EventType.ARTIFACT_ADDED,
                name=name,
                filename=f"/far/{name}",
                blob=stored.blob.to_wire(),
                md5=stored.md5,
                **fields,
            )

        def page(self):
            self.writer.flush()
            self.done = write_report(self.folder, self.path, overwrite=True)
            page = Page(self.path.read_text(encoding="utf-8"))
            assert [] == page.open
            return page

    made = Made()
    yield made
    made.writer.close()


def test_what_it_shows(made):
    """Status, configuration and what of it was set, metrics, output, failure, files, machine."""
    made.start(
        config={"opt": {"lr": 0.1}, "seed": 3},
        meta={"config_updates": {"opt": {"lr": 0.1}}, "comment": "a try"},
        host={"cpu": "fast"},
    )
    for step in range(5000):
        made.writer.log_point("loss", step, 1 / (step + 1))
    made.writer.append(EventType.METRIC_DECLARED, metric="loss", unit="nats")
    made.writer.append_output(1, b"line\n" * 400 + b"10%\r100%\n\x1b[31mlast\x1b[0m\n")
    made.artifact("model.bin", b"12345")
    made.writer.append(EventType.DEPENDENCIES_FOUND, dependencies=["numpy==2.0"])
    made.writer.append(
        EventType.RUN_ENDED, how="failed", status="FAILED", fail_trace=["ValueError: no\n"]
    )
    page = made.page()
    for text in (
        "FAILED",
        "a try",
        "ValueError: no",
        "[nats]",
        "model.bin",
        "numpy",
        "fast",
        "line",
    ):
        assert text in page.text
    assert "Output (the last 300 lines)" in page.text
    assert "10%" not in page.text
    (row,) = [attributes for attributes in page.named("tr") if attributes.get("class") == "set"]
    assert 1 == len(page.named("svg"))
    (curve,) = [one for one in page.named("path") if one.get("class") == "curve"]
    assert 4 * 400 > curve["d"].count("L") > 300
    assert [] == made.done.problems


def test_nothing_becomes_markup(made):
    """Names, values, output and traces of a run are text, wherever they stand."""
    made.start(
        name=EVIL,
        command=EVIL,
        config={EVIL: EVIL},
        host={EVIL: EVIL},
        meta={"comment": EVIL, "named_configs": [EVIL]},
    )
    made.writer.log_point(EVIL, 0, 1.0)
    made.writer.log_point(EVIL, 1, EVIL)
    made.writer.append(EventType.METRIC_DECLARED, metric=EVIL, unit=EVIL)
    made.writer.append_output(1, EVIL.encode())
    made.artifact(f"{EVIL}.svg", b"<svg onload='alert(1)'/>", content_type="image/svg+xml")
    made.artifact("x", b"x", content_type=EVIL)
    made.writer.append(EventType.SOURCE_ADDED, filename=EVIL, path=EVIL, md5=EVIL)
    made.writer.append(EventType.DEPENDENCIES_FOUND, dependencies=[EVIL])
    made.writer.append(EventType.REPOSITORY_FOUND, url=EVIL, commit=EVIL, dirty=True)
    made.writer.append(EventType.INFO_CHANGED, set=[[[EVIL], EVIL]], deleted=[])
    made.writer.append(
        EventType.RUN_ENDED, how="failed", status=EVIL, fail_trace=[EVIL], result=EVIL
    )
    page = made.page()
    assert [] == page.named("script")
    allowed = {"class", "d", "viewbox", "role", "aria-label", "x", "y", "cx", "cy", "r", "lang"}
    allowed |= {"text-anchor", "charset", "http-equiv", "content", "name", "alt", "src"}
    assert set() == {name for _, attributes in page.elements for name in attributes} - allowed
    assert not set("\x1b\u202e\x00") & set(made.path.read_text(encoding="utf-8"))
    assert page.text.count("alert(1)") > 15
    assert "default-src 'none'" in page.named("meta")[1]["content"]


def test_pictures(made):
    """Small ones stand in the page, the last version each; large, damaged and other files do not."""
    small = b"\x89PNG small"
    made.start()
    made.artifact("a.png", b"\x89PNG first", content_type="image/png")
    made.artifact("a.png", small, content_type="image/png")
    made.artifact("guessed.jpg", b"jpeg")
    made.artifact("large.png", os.urandom((1 << 20) + 1), content_type="image/png")
    made.artifact("page.html", b"<b>", content_type="text/html")
    made.artifact("gone.png", b"gone", content_type="image/png")
    found = made.store.put_bytes(b"gone").blob
    made.store.path_of(found.digest).unlink()
    page = made.page()
    sources = [attributes["src"] for attributes in page.named("img")]
    assert [
        "data:image/png;base64," + base64.b64encode(small).decode(),
        "data:image/jpeg;base64," + base64.b64encode(b"jpeg").decode(),
    ] == sources
    assert "gone.png: its content is not there, or damaged" in page.text
    assert "large.png" in page.text


def test_a_run_that_goes_on(made):
    """A page of a live run says as of when it is; one without anything has no empty sections."""
    made.start()
    page = made.page()
    assert "RUNNING" in page.text
    assert "As of 20" in page.text
    assert not {"Metrics", "Artifacts", "Output", "Configuration"} & set(page.text.split())


def test_only_non_numbers(made):
    """A metric without a number has no curve, and its last value."""
    made.start()
    made.writer.log_point("word", 0, "much")
    made.writer.log_point("nan", 0, float("nan"))
    page = made.page()
    assert [] == page.named("svg")
    assert "word" in page.text
    assert "much" in page.text


def test_places(made, tmp_path):
    """Nothing is written over unasked; a folder that holds no run gives no page."""
    made.start()
    made.page()
    with pytest.raises(OutputPlaceError, match="is there already"):
        write_report(made.folder, made.path)
    empty = JournalRoot(tmp_path / "root").claim()
    with pytest.raises(NotAJournalError, match="nothing was written"):
        write_report(empty, tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


@settings(max_examples=300)
@given(st.text())
def test_any_text_is_text(text):
    """Of any text a parser sees text only, and in it what can be seen of it."""
    shown = Page(f"<p>{_shown(text)}</p>")
    assert [("p", {})] == shown.elements
    visible = [c for c in text if c.isprintable()]
    assert all(character in shown.text for character in visible)
