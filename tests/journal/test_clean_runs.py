"""A clean run's files are read by tools that know nothing of us, and give the same events."""

from __future__ import annotations

import os
import shutil
import subprocess

import msgpack
import pytest

from sacred.journal import EventType, JournalReader, JournalWriter

pytestmark = pytest.mark.skipif(not shutil.which("zstd"), reason="no zstd program")


@pytest.mark.parametrize("durability", ["process", "second", "event"])
def test_zstd_and_msgpack_read_a_clean_run(tmp_path, durability, monkeypatch):
    """`zstd -t` proves every file, and `zstd -dc` into msgpack gives the same events, in order."""
    monkeypatch.setattr("sacred.journal.epoch_writer.EPOCH_BYTES", 30_000)
    writer = JournalWriter.create(tmp_path / "journal", durability=durability)
    for step in range(2000):
        writer.log_point(f"m{step % 5}", step, step / 7)
        if step % 100 == 0:
            writer.append(EventType.MESSAGE, level="info", text=f"{step} " + "z" * (step * 3))
    writer.append_output(1, os.urandom(700_000))
    child = os.fork()
    if child == 0:
        writer.log_point("child", 0, 1.0)
        writer.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    writer.close()
    files = sorted(writer.folder.iterdir())
    assert len(files) > 2
    subprocess.run(["zstd", "-q", "-t", *map(str, files)], check=True, timeout=60)
    counts: dict[int, int] = {}
    for path in files:
        done = subprocess.run(
            ["zstd", "-dc", str(path)], capture_output=True, check=True, timeout=60
        )
        unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=len(done.stdout))
        unpacker.feed(done.stdout)
        for value in unpacker:
            if type(value) is dict:
                rows = value.get("n", 1) if value["e"] == EventType.METRIC_TABLE else 1
                counts[value["e"]] = counts.get(value["e"], 0) + rows
            else:
                assert len(value) == 7
                assert value[0] == 0
    ours: dict[int, int] = {}
    reader = JournalReader(writer.folder)
    for event in reader.read():
        ours[event.type] = ours.get(event.type, 0) + max(1, event.count)
    assert counts == ours
    assert counts[1] == len(files)
    assert reader.verdicts == []
