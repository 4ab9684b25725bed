"""The process that copies a run's output to the terminal and into the spool.

This is a script, started as ``python -I -S -B tee.py`` in a session of its own with these
descriptors (``output_capture.py`` is the other side)::

    0 nothing    1, 2 the run's original stdout and stderr
    3, 4 the read ends of the pipes that are the run's stdout and stderr now
    5 the spool file    6 requests from the run    7 replies to it

It is a process because a thread of the run could not do it: C code that prints while it holds the
interpreter's lock would wait for a thread that waits for the lock. It outlives the run, so what was
printed before a ``kill -9`` is kept; it ends when nobody holds the pipes any more.

What is read goes into the spool first and then to the terminal, which has a thread of its own: a
terminal that is stopped or gone does not keep anything from being recorded, and a disk that is full
keeps nothing from being shown. Only when a stopped terminal is 4 MiB behind does the run wait for
it, as it would without us.

The two streams are two pipes, so what was written to both within a moment has no order, as with any
``tee``. Two things are done for whoever reads it: what waits when this process begins, and when the
run has logged that it starts, is taken from stderr first, because nothing of it prints before; and a
stream in the middle of a line is waited for, 10 ms at most, before the other one is read: an
unbuffered interpreter writes ``print("loss", 1)`` in four parts.

A request is 4 bytes, a token. It means: copy what is in the pipes now. Two replies follow, each
kind, token, size of the spool, bytes that could not be spooled (``<BIQQ``): kind 1 when everything
is in the spool, kind 2 when the terminal has it too. Before the latter comes kind 3 (token 0) when
nobody holds the pipes any more: nothing will be written into the spool after it. A token from
``LOGGED`` on means that the run has logged its start, and how much of that waited in stderr's pipe;
it is not answered.

It has to start in a few milliseconds, so it imports nothing that the interpreter does not hold
already, but ``select`` and ``struct``. The signals that end other programs are blocked by whoever
starts it.
"""

from __future__ import annotations

import _thread
import os
import select
import struct
import time

OUT_PIPE, ERR_PIPE, SPOOL, REQUESTS, REPLIES = 3, 4, 5, 6, 7

CHUNK = 65536
#: A stream is not read while its terminal has more than this to show.
BACKLOG = 4 << 20
#: Seconds that one stream is waited for, from the beginning of its unfinished line, by the other.
PATIENCE = 0.01

SPOOLED, SHOWN, ENDED = 1, 2, 3
#: The least of the tokens that say how many bytes of stderr come before what is printed then.
LOGGED = 1 << 31
RECORD = struct.Struct("<BQI")
REPLY = struct.Struct("<BIQQ")


class Spool:
    """The file; it counts what it could not take."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.lost = 0

    def append(self, stream: int, data: bytes) -> None:
        """Write one record, or count its bytes as lost."""
        record = RECORD.pack(stream, time.time_ns(), len(data)) + data
        done = 0
        try:
            while done < len(record):
                done += os.pwrite(self.fd, record[done:], self.size + done)
            self.size += len(record)
        except OSError:
            self.lost += len(data)
            # A part of a record must not stand before the next one.
            try:
                os.ftruncate(self.fd, self.size)
            except OSError:
                return


class Terminal:
    """One of the run's original outputs, written by a thread of its own."""

    def __init__(self, fd: int, wake: int) -> None:
        self.fd = fd
        self.wake = wake
        self.waiting: list[bytes] = []
        self.backlog = 0
        self.alive = True
        self.guard = _thread.allocate_lock()
        self.work = _thread.allocate_lock()
        self.work.acquire()
        _thread.start_new_thread(self.run, ())

    def put(self, data: bytes) -> None:
        """Have the bytes shown, without waiting."""
        if not self.alive:
            return
        with self.guard:
            self.waiting.append(data)
            self.backlog += len(data)
        # Only this thread releases, so the lock can not be released by someone else in between.
        if self.work.locked():
            self.work.release()

    def run(self) -> None:
        """Show what is put, for ever."""
        while True:
            self.work.acquire()
            while True:
                with self.guard:
                    data = b"".join(self.waiting)
                    self.waiting.clear()
                if not data:
                    break
                self.write(data)
                with self.guard:
                    self.backlog -= len(data)
                try:
                    os.write(self.wake, b"!")
                except OSError:
                    # It is full, so the main thread is awake.
                    continue

    def write(self, data: bytes) -> None:
        """Show the bytes; give up for good when there is nobody to show them to."""
        view = memoryview(data)
        while view and self.alive:
            try:
                view = view[os.write(self.fd, view[:CHUNK]) :]
            except BlockingIOError:
                # Whoever shares the terminal has made it non-blocking.
                select.select([], [self.fd], [], 1.0)
            except OSError:
                self.alive = False


class Stream:
    """One of the run's outputs: a pipe, and the terminal that it is shown on."""

    def __init__(self, number: int, pipe: int, terminal: Terminal, spool: Spool) -> None:
        self.number = number
        self.pipe = pipe
        self.terminal = terminal
        self.spool = spool
        self.ended = False
        #: When the line it is in the middle of has waited long enough; 0 when it is in none.
        self.patient_until = 0.0
        os.set_blocking(pipe, False)
        self.poller = select.poll()
        self.poller.register(pipe, select.POLLIN)

    def copy(self, most: int = CHUNK) -> bool:
        """Copy what is there; return False when nothing was."""
        if self.ended:
            return False
        try:
            data = os.read(self.pipe, most)
        except BlockingIOError:
            return False
        if not data:
            self.ended = True
            return False
        self.spool.append(self.number, data)
        self.terminal.put(data)
        if data.endswith(b"\n"):
            self.patient_until = 0.0
        elif not self.patient_until or b"\n" in data:
            self.patient_until = time.monotonic() + PATIENCE
        return True

    def finish_line(self) -> None:
        """Copy the rest of the line it is in the middle of, if that comes soon."""
        until = self.patient_until  # later lines of a stream that never pauses are not waited for
        while self.patient_until and not self.ended and self.terminal.backlog < BACKLOG:
            left = until - time.monotonic()
            if left <= 0 or not self.poller.poll(left * 1000):
                return
            self.copy()


def same_file(one: int, other: int) -> bool:
    """Return whether two descriptors lead to the same place."""
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def close_others() -> None:
    """Close what was inherited by accident: a pipe held here would never end for its reader."""
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        os.closerange(REPLIES + 1, 1024)
        return
    for name in names:
        if int(name) > REPLIES:
            try:
                os.close(int(name))
            except OSError:
                continue


def reply(kind: int, token: int, spool: Spool) -> None:
    """Tell the run how far we are."""
    try:
        os.write(REPLIES, REPLY.pack(kind, token, spool.size, spool.lost))
    except OSError:
        # The run is gone, or never asks for the answers.
        return


def main() -> None:
    """Copy until nobody holds the pipes any more."""
    close_others()
    woken, wake = os.pipe()
    for fd in (woken, wake, REQUESTS, REPLIES):
        os.set_blocking(fd, False)
    spool = Spool(SPOOL)
    # Two threads on one terminal would mix up what stdout and stderr say.
    screens = [Terminal(1, wake)]
    screens.append(screens[0] if same_file(1, 2) else Terminal(2, wake))
    streams = [Stream(1, OUT_PIPE, screens[0], spool), Stream(2, ERR_PIPE, screens[1], spool)]
    by_pipe = {stream.pipe: stream for stream in streams}
    others = {OUT_PIPE: streams[1], ERR_PIPE: streams[0]}

    poller = select.poll()
    poller.register(woken, select.POLLIN)
    poller.register(REQUESTS, select.POLLIN)
    watched: set[int] = set()
    unanswered: list[int] = []
    requests = b""
    # What the run logged of its start was written before anything that it printed.
    streams[1].copy()

    while True:
        for stream in streams:
            wanted = not stream.ended and stream.terminal.backlog < BACKLOG
            if wanted and stream.pipe not in watched:
                watched.add(stream.pipe)
                poller.register(stream.pipe, select.POLLIN)
            elif not wanted and stream.pipe in watched:
                watched.discard(stream.pipe)
                poller.unregister(stream.pipe)
        shown = all(screen.backlog == 0 for screen in screens)
        if shown:
            ended = all(stream.ended for stream in streams)
            if ended:
                reply(ENDED, 0, spool)
            for token in unanswered:
                reply(SHOWN, token, spool)
            unanswered.clear()
            if ended:
                return

        # In the order they were registered in: a request comes before what was printed behind it.
        for fd, _ in poller.poll():
            if fd in by_pipe:
                others[fd].finish_line()
                by_pipe[fd].copy()
            elif fd == woken:
                os.read(woken, CHUNK)
            else:
                data = os.read(REQUESTS, CHUNK)
                if not data:
                    poller.unregister(REQUESTS)
                requests += data
                while len(requests) >= 4:
                    token = int.from_bytes(requests[:4], "little")
                    requests = requests[4:]
                    if token >= LOGGED:
                        streams[1].copy(token - LOGGED)
                        continue
                    for stream in streams:
                        # As much as any pipe holds; a writer that never stops must not hold us up.
                        for _ in range(32):
                            if not stream.copy():
                                break
                    reply(SPOOLED, token, spool)
                    unanswered.append(token)


if __name__ == "__main__":
    main()
    # Without this the interpreter would wait for its own end to be tidy.
    os._exit(0)
