"""The bugs: mistakes that a good engineer could make in the journal, and the tests that must notice.

Each is a replacement of text that stands in its file exactly once. A fast test (``test_bugs.py``)
fails when that is so no longer, and ``make bugbank`` when a named test does not turn red. Whoever
changes such a place moves the bug along; whoever removes it finds out here what it was there for.
"""

from __future__ import annotations

from typing import NamedTuple

FRAMES = "tests/journal/test_frames.py"
READER = "tests/journal/test_reader.py"
WRITER = "tests/journal/test_writer.py"
DURABILITY = "tests/journal/test_durability.py"
SEAL = "tests/journal/test_seal.py"
REPAIR = "tests/journal/test_repair.py"
SEALED_DAMAGE = "tests/journal/test_sealed_damage.py"
LOSSES = "tests/journal/test_losses.py"
TABLES = "tests/journal/test_tables.py"
CODEC = "tests/journal/test_codec.py"
BLOBS = "tests/journal/test_blobs.py"
LIVENESS = "tests/journal/test_liveness.py"
ROOT = "tests/journal/test_root.py"
GOLDEN = "tests/journal/test_golden.py"
SPOOL = "tests/journal/test_spool.py"
SPOOL_DAMAGE = "tests/journal/test_spool_damage.py"
REGULAR = "tests/journal/test_regular_file.py"
EDGES = "tests/journal/test_edges.py"
SEAL_EDGES = "tests/journal/test_seal_edges.py"
GO_ON = "tests/journal/test_go_on.py"
GONE_ON = "tests/battery/test_gone_on.py"
KILLS = "tests/battery/test_kills.py"
ZEROS = "tests/journal/test_zeros.py"
DESCRIPTORS = "tests/journal/test_descriptors.py"


class Bug(NamedTuple):
    """One mistake.

    Attributes
    ----------
    name
        What it is called in the table.
    tempting
        Why somebody would write it so.
    file
        Below ``sacred/journal``, or with a slash below ``sacred``.
    old, new
        What stands there, and what would.
    tests
        Each of them must turn red.
    more
        Further replacements in the same file.
    """

    name: str
    tempting: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    more: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        """Where the file lies below ``sacred``."""
        return self.file if "/" in self.file else f"journal/{self.file}"


BUGS = (
    # -- frames --------------------------------------------------------------------------------
    Bug(
        "checksum-skipped",
        "a small frame is stored raw: cutting it out saves the decompressor's two microseconds",
        "frames.py",
        "        try:\n            content = self._decompressor.decompress(",
        "        if frame[4] == 0x24 and content_size <= RAW_LIMIT:\n"
        "            return frame[9:-4]\n"
        "        try:\n            content = self._decompressor.decompress(",
        (f"{FRAMES}::test_every_flipped_bit_is_noticed",),
    ),
    Bug(
        "length-trusted",
        "the header says how long the content is, and the writer never writes more than its cap",
        "frames.py",
        '    if not 0 < content_size <= CONTENT_CAP:\n        raise FrameDamagedError(f"a frame header',
        '    if not content_size:\n        raise FrameDamagedError(f"a frame header',
        (f"{FRAMES}::test_forged_headers_are_refused_before_anything_is_allocated",),
    ),
    Bug(
        "window-trusted",
        "our own frames are single segments, so nobody thinks of the window",
        "frames.py",
        "// 8 > WINDOW_CAP:",
        "// 8 > WINDOW_CAP and False:",
        (f"{FRAMES}::test_forged_headers_are_refused_before_anything_is_allocated",),
    ),
    Bug(
        "bound-off-by-the-checksum",
        "the blocks end there: the four bytes of the checksum are forgotten in the comparison",
        "frames.py",
        "    if position > length:\n        return None\n    return FrameBounds",
        "    if position - 4 > length:\n        return None\n    return FrameBounds",
        (f"{FRAMES}::test_every_truncation_is_not_yet_whole",),
    ),
    Bug(
        "bound-off-by-one",
        "> and >= look alike: the last frame of a file is never whole",
        "frames.py",
        "    if position > length:\n        return None\n    return FrameBounds",
        "    if position >= length:\n        return None\n    return FrameBounds",
        (f"{FRAMES}::test_all_sizes", f"{READER}::test_a_clean_journal_is_read_whole"),
    ),
    Bug(
        "endless-blocks",
        "the walk over the blocks ends at the last block or at the end of the buffer anyway",
        "frames.py",
        "        if position > limit:",
        "        if False:",
        (f"{DURABILITY}::test_a_frame_of_endless_blocks_is_refused_at_once",),
    ),
    Bug(
        "stream-reader",
        "a streaming reader gives what is there, and asks for no end: a torn checksum is none",
        "frames.py",
        "content = self._decompressor.decompress(frame, allow_extra_data=False)",
        "content = self._decompressor.stream_reader(frame).read(content_size)",
        (
            f"{FRAMES}::test_every_truncation_is_not_yet_whole",
            f"{READER}::test_every_truncation_gives_a_prefix",
        ),
        (
            (
                "    if position > length:\n        return None\n    return FrameBounds(start, position,",
                "    return FrameBounds(start, min(position, length),",
            ),
        ),
    ),
    Bug(
        "chain-not-seeded",
        "a digest of the events is a digest of the events: that it starts from the one before is forgotten",
        "frames.py",
        "return xxhash.xxh64_intdigest(events, chain)",
        "return xxhash.xxh64_intdigest(events)",
        (f"{GOLDEN}::test_it_reads_as_it_did",),
    ),
    # -- reader --------------------------------------------------------------------------------
    Bug(
        "damage-ends-the-reading",
        "what is behind a damaged frame can not be found, because the length is gone",
        "cursor.py",
        "                skipped = file.resync(self._is_later)\n",
        "                skipped = None\n",
        (
            f"{READER}::test_every_flipped_bit_costs_the_frame_it_hit",
            f"{READER}::test_damaged_sectors_cost_what_they_hit",
        ),
    ),
    Bug(
        "chain-not-checked",
        "the checksum of the frame and its number are right, so it is the right frame",
        "cursor.py",
        "elif frame.chain != at.chain and frame.first_seq == at.next_seq and not shown:",
        "elif False:",
        (f"{READER}::test_an_exchanged_frame_is_noticed_by_the_chain",),
    ),
    Bug(
        "gap-not-counted",
        "reading goes on behind the hole, which is what matters to the reader",
        "cursor.py",
        '                self._gap(frame.offset, frame, "frames are missing")\n            elif frame.chain',
        "                self.at = at._replace(next_seq=frame.first_seq, chain=frame.chain)\n"
        "            elif frame.chain",
        (f"{READER}::test_dropped_doubled_and_swapped_frames_are_noticed",),
    ),
    Bug(
        "verdict-without-numbers",
        "that there is a gap, and at which byte, is all that a person needs",
        "cursor.py",
        "Gap(self.writer, frame.epoch, offset, first, end, reason, damaged=damaged)",
        "Gap(self.writer, frame.epoch, offset, end, end, reason, damaged=damaged)",
        (
            f"{READER}::test_dropped_doubled_and_swapped_frames_are_noticed",
            f"{READER}::test_every_flipped_bit_costs_the_frame_it_hit",
        ),
    ),
    Bug(
        "lost-end-of-a-file",
        "a first frame holds no events, so there is nothing in it that could be missing",
        "cursor.py",
        "elif frame.offset == 0 and frame.first_seq > at.next_seq and self.unproven is None:",
        "elif False:",
        (f"{READER}::test_the_lost_end_of_a_file_is_seen_in_the_next_one",),
    ),
    Bug(
        "double-read-twice",
        "a frame whose number was there is an old one, and an old one is taken from a sealed file",
        "cursor.py",
        "            if frame.first_seq < self.walked:\n                self._report_double(frame)\n",
        "            if frame.first_seq < self.walked:\n",
        (f"{READER}::test_every_doubled_frame_is_reported",),
    ),
    Bug(
        "living-tail-called-damage",
        "a later frame is there, so what is before it is damaged: but it was finished a moment ago",
        "cursor.py",
        "                if self._whole_by_now(file, begin):\n                    continue\n",
        "",
        (f"{READER}::test_a_frame_that_is_finished_during_a_look_is_no_damage",),
    ),
    Bug(
        "tail-called-a-gap",
        "bytes that are no frame are damage, wherever they stand",
        "cursor.py",
        "                if skipped is None:\n                    return None\n",
        "                if skipped is None:\n"
        "                    self._refused(file, begin, OSError(str(error)))\n"
        "                    return None\n",
        (f"{READER}::test_every_truncation_gives_a_prefix",),
    ),
    Bug(
        "foreign-frames-taken",
        "all files below a run's folder are the run's",
        "cursor.py",
        "            frame.journal_id == self.reader.journal_id\n            and frame.writer == self.writer\n",
        "            frame.writer == self.writer\n",
        (f"{EDGES}::test_a_frame_that_would_fit_is_foreign_all_the_same",),
    ),
    Bug(
        "epoch-not-checked",
        "the file's name says which epoch it is",
        "cursor.py",
        "            and frame.epoch == self.file.epoch\n",
        "",
        (f"{EDGES}::test_a_frame_that_would_fit_is_foreign_all_the_same",),
    ),
    Bug(
        "horizon-off-by-one",
        "events up to the next file's first one: the last frame before it is dropped",
        "cursor.py",
        "if horizon is not None and end > horizon and (",
        "if horizon is not None and end >= horizon and (",
        (f"{READER}::test_a_later_epoch_wins_and_continues",),
    ),
    Bug(
        "hint-trusted",
        "the offset was right when it was stored, and files only grow",
        "cursor.py",
        "            and frame.chain == self.at.chain\n            and frame.count > 0\n",
        "            and frame.count > 0\n",
        (f"{READER}::test_a_position_of_another_history_is_contradicted",),
    ),
    Bug(
        "position-survives-a-shorter-file",
        "there is nothing new to read, so the view is up to date",
        "reader.py",
        "        begun = [writer for writer, cursor in self._cursors.items() if cursor.unproven is not None]\n",
        "        begun: list[int] = []\n",
        (f"{READER}::test_a_phantom_tail_is_contradicted",),
    ),
    Bug(
        "newer-type-skipped",
        "an event that nobody knows can be passed over, whatever its number",
        "reader.py",
        "if number not in SCHEMAS and number < FIRST_IGNORABLE:",
        "if False:",
        (f"{READER}::test_newer_journals_are_refused_and_newer_events_are_not",),
    ),
    Bug(
        "writers-by-clock",
        "events of several writers are sorted by their time; a clock that steps back moves them",
        "reader.py",
        "        for *_, event in heapq.merge(*streams, key=lambda item: item[:3]):\n",
        "        merged = [item for stream in streams for item in stream]\n"
        "        for *_, event in heapq.merge(sorted(merged, key=lambda item: item[3].time)):\n",
        (f"{READER}::test_several_writers_merge_by_time",),
    ),
    Bug(
        "search-ends-in-zeros",
        "a file that ends in zeros was cut there by a loss of power: behind them is nothing",
        "epoch_file.py",
        "                    if data < 0 or position >= zeros:\n                        break\n",
        "                    break\n",
        (f"{ZEROS}::test_what_is_behind_a_hole_is_found",),
    ),
    Bug(
        "zeros-read-to-the-last",
        "zeros are read at gigabytes a second, and no file has more than one",
        "epoch_file.py",
        "            end, left = begin, left - _READ\n",
        "            end = begin\n",
        (f"{ZEROS}::test_more_zeros_on_the_disk_than_a_file_has_are_damage",),
    ),
    # -- writer --------------------------------------------------------------------------------
    Bug(
        "file-reopened-for-append",
        "without O_EXCL a writer simply goes on in the file that is there",
        "file_writer.py",
        "flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY",
        "flags = os.O_CREAT | os.O_WRONLY",
        (
            f"{DURABILITY}::test_every_file_is_made_anew_and_only_appended_to",
            f"{DURABILITY}::test_a_rotation_takes_no_file_of_another_process",
        ),
    ),
    Bug(
        "no-append-flag",
        "the descriptor's place is at the end anyway",
        "file_writer.py",
        "os.O_WRONLY | os.O_APPEND |",
        "os.O_WRONLY |",
        (f"{DURABILITY}::test_a_frame_lands_at_the_end_wherever_the_offset_is",),
    ),
    Bug(
        "no-fsync-of-the-folder",
        "the file's bytes are durable; that its name may not be is the oldest mistake of all",
        "durable_writer.py",
        "                            fsync_folder(folder)\n",
        "                            pass\n",
        (
            f"{DURABILITY}::test_sync_makes_the_bytes_durable_and_then_their_names",
            f"{DURABILITY}::test_the_end_of_a_run_is_durable",
        ),
    ),
    Bug(
        "failed-fsync-retried",
        "the next fsync may succeed; it does, and the pages that failed are gone",
        "durable_writer.py",
        "                self._fail(failure)\n\n    def _forget_below",
        "                self._dirty = True\n\n    def _forget_below",
        (f"{WRITER}::test_after_a_failed_fsync_the_file_is_not_trusted",),
    ),
    Bug(
        "torn-frame-truncated",
        "after a short write the file is cut back to what was whole; the size it knows is not that",
        "file_writer.py",
        "        if self._fd >= 0 and self._can_sync:\n",
        "        if self._fd >= 0:\n"
        "            os.ftruncate(self._fd, self._size)\n"
        "        if self._fd >= 0 and self._can_sync:\n",
        (f"{EDGES}::test_a_short_write_takes_nothing_back",),
    ),
    Bug(
        "short-write-believed",
        "write(2) to a file writes all or raises",
        "file_writer.py",
        "        if (done := os.write(descriptor, frame)) != len(frame):\n"
        "            raise descriptors.short_write(descriptor, frame[done:])\n",
        "        os.write(descriptor, frame)\n",
        (f"{WRITER}::test_a_disk_that_refuses_for_a_while_costs_nothing",),
    ),
    Bug(
        "forgotten-when-written",
        "what write(2) took is the kernel's: there is no need to keep it until the fsync",
        "epoch_writer.py",
        "        if not self._syncs or self._ring_bytes > RING_BYTES or",
        "        if self._ring.clear() is None or self._ring_bytes > RING_BYTES or",
        (f"{WRITER}::test_after_a_failed_fsync_the_file_is_not_trusted",),
    ),
    Bug(
        "watermark-behind-the-fsync",
        "what is durable is asked for after the fsync, when more has been written",
        "durable_writer.py",
        "        self.durable_seq = max(self.durable_seq, seq)\n        self._forget_below(seq)\n",
        "        self.durable_seq = self.next_seq\n        self._forget_below(self.next_seq)\n",
        (f"{EDGES}::test_what_is_written_during_a_sync_is_not_durable_by_it",),
    ),
    Bug(
        "dirty-cleared-after-the-fsync",
        "the mark is taken away when the work is done; what came meanwhile is never synced",
        "durable_writer.py",
        "        self.durable_seq = max(self.durable_seq, seq)\n",
        "        self.durable_seq = max(self.durable_seq, seq)\n        self._dirty = False\n",
        (f"{EDGES}::test_what_is_written_during_a_sync_is_not_durable_by_it",),
    ),
    Bug(
        "rotation-without-sync",
        "the background syncs every second anyway",
        "epoch_writer.py",
        "        failure = self._sync_now() if self._syncs else None\n",
        "        failure = None\n",
        (f"{DURABILITY}::test_a_file_is_durable_before_the_next_one_is_used",),
    ),
    Bug(
        "named-before-it-is-whole",
        "the next file gets its name at once; a kill before all is written again hides what was there",
        "file_writer.py",
        '            if self._ring and os.name != "nt":',
        "            if False:",
        (f"{WRITER}::test_a_kill_while_a_file_is_written_again_costs_nothing",),
    ),
    Bug(
        "loss-not-counted",
        "what no memory holds is dropped, and the sequence numbers show it anyway",
        "epoch_writer.py",
        "first >= self._unwritten:\n                self._lose(first, count)\n",
        "first >= self._unwritten:\n                pass\n",
        (f"{WRITER}::test_what_does_not_fit_into_memory_is_counted_as_lost",),
    ),
    Bug(
        "removed-file-written-on",
        "an open descriptor can be written: nobody looks whether the file still has a name",
        "durable_writer.py",
        "        if state is None or state.st_nlink:\n",
        "        if state is None or self._fd:\n",
        (f"{WRITER}::test_a_journal_that_is_removed_is_noticed",),
    ),
    Bug(
        "number-trusted",
        "the descriptor is ours: who else would close it",
        "file_writer.py",
        "            if (state.st_dev, state.st_ino) == self._identity:\n",
        "            if self._identity:\n",
        (f"{DESCRIPTORS}::test_a_number_that_the_program_was_given_is_left_to_it",),
    ),
    Bug(
        "anothers-number-closed",
        "a file that is left behind is closed by its number",
        "descriptors.py",
        "    if descriptor >= 0 and not is_anothers(descriptor, identity):\n",
        "    if descriptor >= 0:\n",
        (f"{DESCRIPTORS}::test_files_that_wait_to_be_durable_are_looked_at_too",),
    ),
    Bug(
        "unreadable-is-removed",
        "what took the place of the file can not be opened: then all of it is lost",
        "durable_writer.py",
        "            error, known = problem, self.next_seq\n",
        "            error = problem\n",
        (f"{DESCRIPTORS}::test_what_took_the_place_of_a_file_can_not_be_read",),
    ),
    Bug(
        "told-excuses-damage",
        "events that the writer told to be lost are missing: nothing is wrong",
        "verdicts.py",
        "    if gap.damaged and all(piece.told for piece in pieces):\n",
        "    if gap.damaged and not pieces:\n",
        (f"{LOSSES}::test_what_was_told_does_not_excuse_damage",),
    ),
    Bug(
        "child-writes-the-parents-points",
        "a fork copies what was pending, and both write it",
        "pending_writer.py",
        "        self._flusher = None\n        self._cells.clear()\n",
        "        self._flusher = None\n",
        (f"{EDGES}::test_what_waits_at_a_fork_is_the_parents",),
    ),
    Bug(
        "control-events-wait",
        "an event more or less in the batch: all of them wait 10 ms",
        "pending_writer.py",
        "        if control or not self._patient:",
        "        if not self._patient:",
        (f"{WRITER}::test_a_control_event_is_in_the_file_when_its_call_returns",),
    ),
    Bug(
        "clock-trusted",
        "what is due later than now is not due",
        "pending_writer.py",
        "(now >= self._due - PATIENCE + YOUNG or now < self._due - PATIENCE)",
        "now >= self._due - PATIENCE + YOUNG",
        (f"{WRITER}::test_a_clock_that_is_put_back_delays_nothing",),
    ),
    Bug(
        "taken-whatever-became-of-it",
        "what was given to the frame waits no more; an interrupt before there is a frame loses it",
        "pending_writer.py",
        "            if self._taken != before:\n                del self._cells[gone]\n",
        "            if self._taken >= before:\n                del self._cells[gone]\n",
        (f"{EDGES}::test_an_interrupt_before_a_frame_keeps_what_waits",),
    ),
    # -- tables and values ---------------------------------------------------------------------
    Bug(
        "whole-floats-as-integers",
        "a loss of 3.0 takes less room as 3; -0.0 becomes 0, and a float an int",
        "tables.py",
        "    kinds = set(map(type, values))\n",
        "    if all(type(value) is float and value.is_integer() for value in values):\n"
        "        values = list(map(int, values))\n"
        "    kinds = set(map(type, values))\n",
        (f"{TABLES}::test_floats_without_a_fraction_stay_floats",),
    ),
    Bug(
        "points-reordered",
        "the columns are grouped by metric; that they must be put back is forgotten",
        "tables.py",
        "        decoded = ordered\n",
        "",
        (f"{TABLES}::test_rows_can_be_cut_off", f"{GOLDEN}::test_it_reads_as_it_did"),
    ),
    Bug(
        "rows-trusted",
        "a table tells how many rows it has, so its columns have as many",
        "tables.py",
        "if code not in _FORMATS or len(planes) != 8 * rows:",
        "if code not in _FORMATS:",
        (f"{TABLES}::test_a_table_that_does_not_fit_together_is_refused",),
    ),
    Bug(
        "forged-length-allocated",
        "msgpack has limits of its own; they are 2 GiB",
        "codec.py",
        "        max_buffer_size=max(1, len(data)),  # also what a length in it may tell at most\n",
        "",
        (f"{CODEC}::test_forged_lengths_cost_nothing",),
    ),
    Bug(
        "nesting-unbounded",
        "msgpack bounds the depth by itself; extension values within one another are calls of ours",
        "codec.py",
        "    level = _nesting.level\n    if level >= MAX_NESTED:\n        return ObjectText(",
        "    level = _nesting.level\n    if False:\n        return ObjectText(",
        (f"{EDGES}::test_a_forged_nesting_is_cut",),
    ),
    # -- sealing and repair --------------------------------------------------------------------
    Bug(
        "seal-renamed-before-the-fsync",
        "the rename is atomic; that it may reach the disk before the bytes do is forgotten",
        "sealer.py",
        "        os.fsync(descriptor)\n        now = os.stat(path)\n",
        "        now = os.stat(path)\n",
        (f"{DURABILITY}::test_a_sealed_file_is_durable_before_it_takes_the_name",),
    ),
    Bug(
        "seal-without-fsync-of-the-folder",
        "a rename is durable by itself",
        "sealer.py",
        "        os.close(descriptor)\n    fsync_folder(folder)\n",
        "        os.close(descriptor)\n",
        (f"{DURABILITY}::test_a_sealed_file_is_durable_before_it_takes_the_name",),
    ),
    Bug(
        "seal-drops-unknown-fields",
        "a point has a name, a step, a value and a time; what else stands in it is dropped",
        "sealer.py",
        'wire["e"] == EventType.METRIC_POINT and wire.keys() == POINT_KEYS',
        'wire["e"] == EventType.METRIC_POINT and wire.keys() >= POINT_KEYS',
        (f"{SEAL_EDGES}::test_a_point_of_a_later_version_is_sealed_as_it_is",),
    ),
    Bug(
        "seal-moves-points",
        "points are gathered over the events between them, for larger tables",
        "sealer.py",
        "            else:\n                self._flush_points()\n                if pieces is None:",
        "            else:\n                if pieces is None:",
        (f"{SEAL}::test_a_run_that_ended",),
    ),
    Bug(
        "seal-forgets-that-the-writer-lives",
        "the run has ended in the journal, so its file will not grow",
        "liveness.py",
        "    if lives:\n        return True,",
        "    if lives and False:\n        return True,",
        (f"{SEAL}::test_a_process_that_lives",),
    ),
    Bug(
        "seal-of-a-growing-file",
        "whether the writer lives was looked at before; what it wrote since is taken away",
        "sealer.py",
        "        if (now.st_ino, now.st_size) != (before.st_ino, before.st_size):",
        "        if now.st_ino != before.st_ino:",
        (f"{SEAL}::test_a_file_that_changes_meanwhile_is_not_replaced",),
    ),
    Bug(
        "seal-not-read-back",
        "the write succeeded and the fsync too",
        "sealer.py",
        "        _check(descriptor, sealer)\n",
        "",
        (f"{SEAL}::test_what_does_not_come_back_is_not_kept",),
    ),
    Bug(
        "seal-of-a-damaged-file",
        "what can be read is sealed, and the damage is gone",
        "sealer.py",
        "        if spare or file.is_cut():\n",
        "        if True:\n",
        (f"{SEAL_EDGES}::test_a_damaged_file_is_not_sealed",),
    ),
    Bug(
        "overlap-sealed-twice",
        "each file is sealed with all that is in it; the same events then stand in two indices",
        "seal.py",
        "_sealed(reader, writer, epoch, until=until)",
        "_sealed(reader, writer, epoch)",
        (f"{SEAL_EDGES}::test_what_stands_again_later_is_not_sealed_twice",),
    ),
    Bug(
        "index-trusted",
        "the index is the writer's own: where it knows the number, the position holds",
        "seal_index.py",
        "        return low is not None and low == chain & 0xFFFF\n",
        "        return low is not None\n",
        (f"{SEAL_EDGES}::test_the_index_of_a_sealed_file_proves_the_chain",),
    ),
    Bug(
        "repair-keeps-nothing",
        "the repaired file has all that was whole, so the damaged one is replaced",
        "sealer.py",
        "            os.link(path, kept)\n",
        "            pass\n",
        (f"{REPAIR}::test_a_second_damage_is_kept_beside_the_first",),
    ),
    Bug(
        "repair-forgets-the-first",
        "the losses of this repair are written down; those of the one before are gone",
        "repair.py",
        'began["lost"] = [*(before_this if isinstance(before_this, list) else ()), *losses]',
        'began["lost"] = losses',
        (f"{SEAL_EDGES}::test_a_second_repair_names_both_losses",),
    ),
    Bug(
        "damaged-index-unseen",
        "no event needs the index, so whether it is whole is nobody's business",
        "verification.py",
        "        if flaw is not None:",
        "        if False:",
        (f"{SEALED_DAMAGE}::test_every_flip_behind_the_events_is_noticed_and_mended",),
    ),
    Bug(
        "seek-table-unproved",
        "the seek table is for other tools, and its last entry is the only one that is used here",
        "seal_index.py",
        "    if os.pread(descriptor, len(table) + 1, end + size) != table:",
        "    if os.pread(descriptor, len(table) + 1, end + size)[-9:] != table[-9:]:",
        (f"{SEALED_DAMAGE}::test_every_flip_behind_the_events_is_noticed_and_mended",),
    ),
    Bug(
        "sealed-end-missing-unseen",
        "a file that ends where a frame ends is whole",
        "cursor.py",
        "            if left or damaged:\n",
        "            if left:\n",
        (f"{SEALED_DAMAGE}::test_a_sealed_file_never_ends_in_silence",),
    ),
    Bug(
        "start-and-end-among-the-rest",
        "a frame of its own for one event wastes forty bytes",
        "sealer.py",
        "        alone = kind in _ALONE\n",
        "        alone = False\n",
        (f"{SEALED_DAMAGE}::test_what_begins_and_ends_a_run_stands_alone",),
    ),
    Bug(
        "told-loss-is-damage",
        "a hole is a hole",
        "verdicts.py",
        "        return not (verdict.repaired or verdict.told)\n",
        "        return not verdict.repaired\n",
        (f"{LOSSES}::test_a_full_disk_is_named_with_its_reason_and_is_no_damage",),
    ),
    Bug(
        "told-loss-covers-damage",
        "the writer said that something is lost here, so all of the hole is that",
        "verdicts.py",
        "            end = min(piece.next_seq, loss.next_seq)\n            if first >= end or",
        "            first, end = piece.first_seq, piece.next_seq\n            if first >= end or",
        (f"{LOSSES}::test_a_hole_that_is_told_in_part_is_damage_in_the_rest",),
    ),
    # -- going on, and joining -----------------------------------------------------------------
    Bug(
        "go-on-in-the-same-file",
        "the last frame is whole, so there is no torn end to write behind: a new file is a waste",
        "writer.py",
        '            writer._open_epoch(at.epoch + 1, "resume")\n',
        "            writer.path = writer.folder / epoch_file_name(0, at.epoch)\n"
        "            writer._fd = os.open(writer.path, os.O_WRONLY | os.O_APPEND)\n"
        "            state = os.fstat(writer._fd)\n"
        "            writer._identity = state.st_dev, state.st_ino\n"
        "            numbers = [0, journal_id, 0, at.epoch, 0, 0, 0]\n"
        "            writer._prefix, writer.epoch = writer._packer.pack(numbers)[:-3], at.epoch\n",
        (
            f"{GO_ON}::test_the_sequence_goes_on",
            f"{GO_ON}::test_one_of_two_is_given_the_file",
            f"{GONE_ON}::test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing",
        ),
    ),
    Bug(
        "go-on-behind-what-is-not-durable",
        "the killed process synced its file every second",
        "writer.py",
        "                    fsync_file(writer.folder / epoch_file_name(0, epoch))\n",
        "                    epoch_file_name(0, epoch)\n",
        (f"{GONE_ON}::test_what_a_power_cut_leaves_of_a_run_that_is_gone_on_with",),
    ),
    Bug(
        "go-on-behind-the-file-that-was-read",
        "the next file is the one behind the last event; that somebody was killed making it is forgotten",
        "core/recorded.py",
        "        self.at = WriterPosition(max(epochs), at.next_seq, at.chain)\n",
        "        self.at = WriterPosition(at.epoch, at.next_seq, at.chain)\n",
        (f"{GONE_ON}::test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing",),
    ),
    Bug(
        "spool-removed-before-it-is-durable",
        "all of it is in the file, and the background syncs every second",
        "core/recorder.py",
        "            writer.sync()\n            if writer.fault",
        "            writer.flush()\n            if writer.fault",
        (f"{GONE_ON}::test_what_a_power_cut_leaves_of_a_run_that_is_gone_on_with",),
    ),
    Bug(
        "spool-removed-before-it-is-taken",
        "what was read is in memory, and its name only invites somebody else to read it, too",
        "core/recorder.py",
        "                self.spool_begin = chunk.end\n        except OSError",
        "                self.spool_begin = chunk.end\n"
        "                path.unlink(missing_ok=True)\n        except OSError",
        (f"{GONE_ON}::test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing",),
    ),
    Bug(
        "spool-taken-from-its-beginning",
        "the spool is what the killed process left; that it took a part of it before is forgotten",
        "core/recorder.py",
        "            for chunk in chunks_from(path, begin, flaws):\n",
        "            for chunk in chunks_from(path, 0, flaws):\n",
        (f"{GONE_ON}::test_what_a_power_cut_leaves_of_a_run_that_is_gone_on_with",),
    ),
    Bug(
        "position-of-the-spool-forgotten",
        "the new spool is another file, and begins at its beginning",
        "core/recorder.py",
        "                self.spool_begin = chunk.end\n",
        "",
        (f"{GONE_ON}::test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing",),
    ),
    Bug(
        "spool-kept",
        "who knows what it is still good for",
        "core/recorder.py",
        "            # A tee that still lives goes on writing into it, under no name.\n"
        "            path.unlink(missing_ok=True)\n",
        "            path.exists()\n",
        (f"{GONE_ON}::test_a_kill_while_the_spool_is_taken_costs_and_doubles_nothing",),
    ),
    Bug(
        "lock-released-too-early",
        "the lock is for looking at the run: whoever makes the next file has it, and needs no lock",
        "core/resume.py",
        "            check_state(self.record, resume=self.resume, force=self.force)\n"
        "            recorder.go_on(",
        "            check_state(self.record, resume=self.resume, force=self.force)\n"
        "        recorder.go_on(",
        (f"{GONE_ON}::test_nobody_comes_in_before_the_spool_is_taken",),
    ),
    Bug(
        "state-not-looked-at-below-the-lock",
        "whether the run can be gone on with was looked at a moment ago",
        "core/resume.py",
        "            check_state(self.record, resume=self.resume, force=self.force)\n"
        "            recorder.go_on(",
        "            recorder.go_on(",
        (f"{KILLS}::test_a_killed_run_is_gone_on_with_by_one_process_and_loses_nothing",),
    ),
    Bug(
        "lock-kept-by-children",
        "closing a file gives back its lock; that a child has it open, too, is forgotten",
        "folder_lock.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_UN)\n",
        "        pass\n",
        (f"{GO_ON}::test_a_child_that_was_forked_meanwhile_does_not_keep_the_lock",),
    ),
    Bug(
        "id-of-the-joined-journal-unchecked",
        "whoever joins was given the id by the run itself",
        "writer.py",
        "        _check_journal_id(journal_id)\n"
        "        writer = cls(Path(folder), journal_id, durability, blobs, on_fault)\n"
        "        writer._joined",
        "        writer = cls(Path(folder), journal_id, durability, blobs, on_fault)\n"
        "        writer._joined",
        (f"{GO_ON}::test_an_id_that_is_none",),
    ),
    Bug(
        "who-joins-lets-events-wait",
        "a worker logs as the run does, and has a thread that writes",
        "writer.py",
        "        writer._patient, writer._unclaimed = False, True\n",
        "        writer._unclaimed = True\n",
        (f"{WRITER}::test_a_worker_joins_a_journal_that_another_process_began",),
    ),
    # -- who lives -----------------------------------------------------------------------------
    Bug(
        "lock-before-pid",
        "a lock that is held proves a living writer; a forked worker of a killed one holds it too",
        "liveness.py",
        "    lives = process_lives(identity) if identity is not None else None\n"
        "    if lives is None:\n        lives = lock_is_held(path)\n",
        "    lives = lock_is_held(path)\n"
        "    if lives is None and identity is not None:\n        lives = process_lives(identity)\n",
        (f"{EDGES}::test_a_worker_that_outlives_its_run_does_not_make_it_live",),
    ),
    Bug(
        "pid-without-start",
        "a pid names a process; that numbers are used again is forgotten",
        "identity.py",
        "    return bool(process_start(pid) == start)\n",
        "    return process_start(pid) is not None\n",
        (f"{LIVENESS}::test_pids_are_told_apart",),
    ),
    # -- beside the files ----------------------------------------------------------------------
    Bug(
        "blob-not-verified",
        "a blob's name is its digest, and blobs are never changed",
        "blobs.py",
        "        if sha256(content).hexdigest() != digest:",
        "        if False:",
        (f"{BLOBS}::test_missing_and_damaged_blobs_are_named",),
    ),
    Bug(
        "blob-published-before-the-fsync",
        "the blob has its name, and is synced when there is time",
        "blobs.py",
        "                    out.write(content)\n                    self._sync(out)\n",
        "                    out.write(content)\n",
        (f"{DURABILITY}::test_a_blob_is_durable_before_it_has_its_name",),
    ),
    Bug(
        "blob-there-by-name",
        "a file of that name is that content, also one that a crash left empty",
        "blobs.py",
        "            if not stat.S_ISREG(found.st_mode) or found.st_size != size:\n",
        "            if not stat.S_ISREG(found.st_mode):\n",
        (f"{BLOBS}::test_a_blob_that_was_cut_is_stored_anew",),
    ),
    Bug(
        "digest-as-a-path",
        "a digest comes from a journal of our own",
        "blobs.py",
        "        if not is_digest(digest):",
        "        if False:",
        (f"{BLOBS}::test_a_digest_never_leads_out_of_the_store",),
    ),
    Bug(
        "torn-record-of-the-spool",
        "the last record is what is there of it",
        "spool.py",
        "        if end > len(data):\n            break\n",
        "        end = min(end, len(data))\n",
        (f"{EDGES}::test_a_torn_record_of_a_spool_is_not_yet",),
    ),
    Bug(
        "first-header-behind-damage-believed",
        "a header that looks like one is one",
        "spool.py",
        "                if found > begin and self._leads_on(found, beyond=found):\n",
        "                if found > begin:\n",
        (f"{SPOOL_DAMAGE}::test_nothing_follows",),
    ),
    Bug(
        "text-behind-damage-is-records",
        "where records follow one another, the one around them was damaged",
        "spool.py",
        "        return known > 0 and at > beyond\n",
        "        return known > 0\n",
        (f"{SPOOL_DAMAGE}::test_a_spool_that_was_printed_is_text",),
        (("        while known < _CHAIN or at <= beyond:\n", "        while known < _CHAIN:\n"),),
    ),
    Bug(
        "waiting-for-a-pipe",
        "what has the name of a file is one, as is seen when it is open",
        "regular_file.py",
        "        descriptor = os.open(str(path), flags | _NEVER, mode)\n",
        "        descriptor = os.open(str(path), flags, mode)\n",
        (f"{REGULAR}::test_a_pipe_is_opened_by_somebody_who_does_not_wait",),
    ),
    Bug(
        "written-behind-a-link",
        "a link in a root was put there by whoever owns it",
        "regular_file.py",
        "        flags |= _HERE\n",
        "        flags |= 0\n",
        (f"{REGULAR}::test_a_link_is_read_and_never_written_behind",),
    ),
    Bug(
        "number-used-again",
        "the folders that are there tell which numbers are taken",
        "root.py",
        "return self._mark() or max((*self.numbers(), *self._trashed()), default=0)",
        "return max((*self.numbers(), *self._trashed()), default=0)",
        (f"{ROOT}::test_a_number_is_not_used_again",),
    ),
)
