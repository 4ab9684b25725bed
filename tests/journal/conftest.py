"""What the journal's tests share: making journals, and taking them apart frame by frame."""

from __future__ import annotations

import os

import pytest

from sacred.journal import EventType, JournalReader, JournalWriter
from sacred.journal.frames import frame_bounds


def split_frames(data):
    """Return the frames of a file's bytes."""
    frames, at = [], 0
    while at < len(data):
        bounds = frame_bounds(data, at)
        assert bounds is not None
        frames.append(data[at : bounds.end])
        at = bounds.end
    return frames


def texts(folder, position=None):
    """Return the texts of a journal's messages, and the reader that read them."""
    reader = JournalReader(folder, position)
    return [e.fields["text"] for e in reader.read() if e.type == EventType.MESSAGE], reader


@pytest.fixture
def make(tmp_path):
    """Make a journal of so many messages, each a frame; return its folder."""

    def build(count=10, name="journal", text="event {}", **options):
        writer = JournalWriter.create(tmp_path / name, **options)
        for number in range(count):
            writer.append(EventType.MESSAGE, level="info", text=text.format(number))
        writer.close()
        return tmp_path / name

    return build


@pytest.fixture
def only_file():
    """Give the one file of a journal."""

    def find(folder):
        names = [name for name in os.listdir(folder) if name.endswith(".jzst")]
        assert len(names) == 1
        return folder / names[0]

    return find


@pytest.fixture
def read_texts():
    """Give the tests ``texts``."""
    return texts


@pytest.fixture
def split():
    """Give the tests ``split_frames``."""
    return split_frames
