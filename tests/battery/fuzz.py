"""Row 12's program: journals that say anything, read for as long as it is told to.

``fuzz.py FOLDER SECONDS SEED [plain]``. With atheris, coverage leads the way; without it, or with
``plain``, chance alone does. Prints what it counted. What it finds is left in the folder for
temporary files, as ``battery-found-*``: put it into ``tests/battery/corpus``.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

import opinion

from battery import mutator

try:
    import atheris
except ImportError:
    atheris = None

HERE = Path(__file__).parent
#: The largest frame, a buffer of the same order, and what the plan allows beside them (bytes).
MEMORY = (2 * 16 + 64) << 20
SEALED = 136
#: An input is read in so many seconds, on a machine that has other things to do.
LIMIT = 60


class Hang(Exception):
    """An input took too long."""


def seeds():
    """Return the journals to begin with: the golden ones, and what was found."""
    found = [
        mutator.pack_folder(path / "journal")
        for path in sorted((HERE.parent / "golden").iterdir())
        if (path / "journal").is_dir()
    ]
    found += [path.read_bytes() for path in sorted((HERE / "corpus").glob("*.bin"))]
    return [data for data in found if data]


class Target:
    """Reads journals in every way, and says what is wrong with it."""

    def __init__(self, folder):
        from sacred.journal import errors, verify
        from sacred.journal.reader import JournalReader
        from sacred.journal.root import RunFolder
        from sacred.replayers.listing import outline

        self.folder = folder
        self.reader, self.errors = JournalReader, errors
        self.run_folder, self.outline, self.verify = RunFolder, outline, verify
        self.page = opinion.page_reader()
        self.counts = {"inputs": 0, "clean": 0, "compared": 0, "refused": 0}
        signal.signal(signal.SIGALRM, self._too_long)

    def _too_long(self, *_):
        raise Hang(f"more than {LIMIT} s")

    def __call__(self, data):
        """Read one journal."""
        self.counts["inputs"] += 1
        signal.alarm(LIMIT)
        try:
            mutator.write_files(self.folder, data)
            most = _most_memory()
            clean = self._read("arrival")
            self._read("time")
            if self.counts["inputs"] % 4 == 0:
                self._look()
            if _most_memory() - most > MEMORY:
                raise AssertionError(f"{(_most_memory() - most) >> 20} MiB for one journal")
            if clean and self.page is not None:
                self._compare()
        except BaseException:
            name = f"battery-found-{hashlib.sha256(data).hexdigest()[:12]}.bin"
            place = Path(tempfile.gettempdir(), name)
            place.write_bytes(data)
            sys.stderr.write(f"\n{place} holds what was found\n")
            raise
        finally:
            signal.alarm(0)

    def _read(self, order):
        try:
            reader = self.reader(self.folder)
        except self.errors.NotAJournalError:
            return False
        try:
            kinds = [event.type for event in reader.read(order=order)]
            clean = bool(kinds) and not reader.verdicts and not reader.tails()
            str(reader.verdicts[:5])
            position = reader.position
            again = self.reader(self.folder, position)
            try:
                more = [event for event in again.read() if event.seq >= 0]
            except self.errors.PositionContradictedError:
                if clean and SEALED not in kinds:  # one may tell anything
                    raise AssertionError("its own position is contradicted") from None
            else:
                if clean and more and SEALED not in kinds:
                    raise AssertionError(f"{len(more)} events behind the end")
            finally:
                again.close()
            for writer, epochs in reader._listing.items():
                for epoch in epochs:
                    reader._is_sealed(writer, epoch)
                    self._index(writer, epoch)
            self.counts["clean"] += clean
            return clean
        except self.errors.NewerFormatError:
            self.counts["refused"] += 1
            return False
        finally:
            reader.close()

    def tell(self, **more):
        """Print what was counted."""
        os.write(1, json.dumps({**self.counts, **more}).encode() + b"\n")

    def _look(self):
        """Have the tools say what they think of it."""
        run = self.run_folder.at(self.folder)
        str(self.outline(run).record())
        try:
            self.verify(run)
        except (self.errors.NotAJournalError, self.errors.NewerFormatError):
            pass

    def _index(self, writer, epoch):
        from sacred.journal.epoch_file import EpochFile

        file = EpochFile.of(self.folder, writer, epoch)
        index = file.index()
        file.close()
        if index is not None:
            index.frame_of(index.first_seq)
            index.proves(index.next_seq, index.chain)

    def _compare(self):
        def page(folder):
            try:
                events = self.page(folder)
            except Exception as error:
                raise _Refused from error
            # It does not look whether a frame is of the writer whose file it stands in.
            named = {int(path.name[1:].partition("-")[0]) for path in Path(folder).glob("w*.jzst")}
            if not {writer for writer, _ in events} <= named:
                raise _Refused
            return events

        try:
            opinion.compare(self.folder, page, strange=True)
            self.counts["compared"] += 1
        except _Refused:
            pass  # it promises to read what is written by the page, not more


class _Refused(Exception):
    """The page's reader can not read it."""


def _most_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def run_plain(target, seconds, seed):
    """Mutate by chance until so many seconds are through."""
    rng = random.Random(seed)
    pool = seeds()
    for data in pool:
        target(data)
    mutate = mutator.Mutator(seed).mutate
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = rng.choice(pool)
        for _ in range(rng.choice((1, 1, 2, 3))):
            data = mutate(data)
        target(data)
        if rng.random() < 0.02 and len(data) < 60_000:
            pool[rng.randrange(len(pool))] = data


def run_guided(target, seconds, seed, place):
    """Let coverage lead the way."""
    corpus = place / "corpus"
    corpus.mkdir()
    for data in seeds():
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def mutate(data, max_size, its_seed):
        if its_seed % 8 == 0:
            return atheris.Mutate(data, max_size)
        return mutator.Mutator(its_seed).mutate(data)[:max_size]

    until = time.monotonic() + seconds

    def read(data):
        if time.monotonic() > until:  # libFuzzer ends the process by itself, and says nothing
            target.tell(guided=True)
            os._exit(0)
        target(data)

    words = [
        sys.argv[0],
        f"-seed={seed % (1 << 31) or 1}",
        "-max_len=70000",
        f"-timeout={2 * LIMIT}",
        "-rss_limit_mb=2000",
        "-verbosity=0",
        f"-artifact_prefix={place}/",
        str(corpus),
    ]
    atheris.Setup(words, read, custom_mutator=mutate)
    atheris.Fuzz()


def main(folder, seconds, seed, how=""):
    place = Path(folder)
    guided = atheris is not None and how != "plain"
    if guided:
        with atheris.instrument_imports(include=["sacred.journal"]):
            import sacred.journal.cursor
            import sacred.journal.reader
            import sacred.journal.seal_index  # noqa: F401 - for its coverage
    journal = place / "journal"
    journal.mkdir()
    target = Target(journal)
    if guided:
        run_guided(target, float(seconds), int(seed), place)
    else:
        run_plain(target, float(seconds), int(seed))
        target.tell(guided=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
