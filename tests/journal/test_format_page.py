"""The page that specifies the format says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter
from sacred.journal.frames import FrameDecoder, FrameEncoder, chain_after, frame_bounds
from sacred.journal.schema import events_table

PAGE = Path(__file__).parents[2] / "docs" / "journal-format.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.exists():
        pytest.skip("the tests run without the checkout's documents")
    return PAGE.read_text(encoding="utf-8")


def _block(page: str, heading: str) -> str:
    section = page.split(heading, 1)[1]
    found = re.search(r"```python\n(.*?)```", section, re.S)
    if found is None:
        raise AssertionError(f"no code below {heading}")
    return found[1]


def test_the_events_are_those_of_the_code(page: str) -> None:
    """The tables of events on the page are what the registry gives."""
    written = re.search(r"<!-- events: .*? -->\n\n(.*?)\n\n<!-- events end -->", page, re.S)
    assert written is not None
    assert written[1].strip() == events_table().strip()


def test_the_frames_in_bytes_are_right(page: str) -> None:
    """The two frames shown in hex decode, follow each other, and are what the code writes."""
    dumps = re.findall(r"```text\n([0-9a-f]{4}  .*?)```", page, re.S)
    assert len(dumps) == 2
    frames = [bytes.fromhex("".join(line[6:53] for line in dump.splitlines())) for dump in dumps]
    contents = []
    for frame in frames:
        bounds = frame_bounds(frame, 0)
        assert bounds is not None
        assert bounds.end == len(frame)
        contents.append(FrameDecoder().decode(frame, bounds.content_size))
        assert FrameEncoder().encode(contents[-1]) == frame
    first_events = contents[0][contents[0].index(b"\x85\xa1t") :]
    chain = chain_after(0, first_events)
    assert chain.to_bytes(8, "big") in contents[1]


def test_the_reader_on_the_page_has_at_most_60_lines(page: str) -> None:
    """The page's reader stays short enough to be typed in."""
    assert len(_block(page, "## 13. A reader").splitlines()) <= 60


def test_the_numpy_decoder_on_the_page_decodes_a_column(page: str) -> None:
    """The page's decoder with numpy gives the values of a table of two metrics."""
    np = pytest.importorskip("numpy")
    from sacred.journal.tables import encode_table

    names = ("a", "b") * 20
    values = tuple(float(i) ** 0.5 for i in range(40))
    fields = encode_table(names, tuple(range(40)), tuple(range(0, 40_000, 1000)), values)
    scope: dict[str, object] = {}
    exec(_block(page, "## 5. Metric points"), scope)  # noqa: S102 - the page's own code
    order = np.argsort(np.frombuffer(fields["i"], np.uint8), kind="stable")
    column = scope["column"]
    assert tuple(column(*fields["v"], 40, order).tolist()) == values  # type: ignore[operator]
    assert column(*fields["x"], 40).tolist() == list(range(40))  # type: ignore[operator]


def test_the_reader_on_the_page_reads_a_journal(page: str, tmp_path: Path) -> None:
    """The page's reader, as a program of its own, finds what our reader finds."""
    program = tmp_path / "independent_reader.py"
    program.write_text(_block(page, "## 13. A reader"), encoding="utf-8")
    writer = JournalWriter.create(tmp_path / "journal")
    for step in range(500):
        writer.log_point("loss" if step % 3 else "accuracy", step, step / 7)
    writer.append(EventType.MESSAGE, level="info", text="hällo")
    writer.close()
    found = runpy.run_path(str(program))["events"](str(tmp_path / "journal"))
    assert found == points_and_events(tmp_path / "journal")


def points_and_events(folder: Path) -> dict[tuple[int, int], tuple[int, int, object]]:
    """Read a journal with our reader, into the shape of the page's."""
    found: dict[tuple[int, int], tuple[int, int, object]] = {}
    for event in JournalReader(folder).read():
        if event.type == EventType.METRIC_TABLE:
            table = event.fields["table"]
            rows = zip(table.times, table.names(), table.steps, table.values, strict=True)
            for row, (micros, *point) in enumerate(rows):
                found[event.writer, event.seq + row] = (micros * 1000, 16, tuple(point))
        elif event.type == EventType.METRIC_POINT:
            point = [event.fields[name] for name in ("metric", "step", "value")]
            found[event.writer, event.seq] = (event.time, 16, tuple(point))
        elif event.seq >= 0:
            found[event.writer, event.seq] = (event.time, event.type, event.fields)
    return found
