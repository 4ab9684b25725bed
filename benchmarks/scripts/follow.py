"""Write points at a steady rate and follow them in another process: ``follow.py FOLDER RATE SECONDS HOW RESULT``.

The result is a JSON list: for every event the seconds from the call that logged it until a reader
was given it.
"""

import json
import os
import sys
import time

from sacred.journal import JournalReader, JournalWriter
from sacred.journal.following import follow


def write(folder, rate, seconds, ready, follows):
    writer = JournalWriter.create(folder)
    os.write(ready, b".")
    writer.log_point("loss", -1, 0.0)
    os.read(follows, 1)  # whoever follows has its watch by now
    begin = time.perf_counter()
    for step in range(int(rate * seconds)):
        wait = begin + step / rate - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        writer.log_point("loss", step, float(time.perf_counter_ns()))
    writer.close()


def main(folder, rate, seconds, how, result):
    rate, seconds = float(rate), float(seconds)
    reading, writing = os.pipe()
    follows, go = os.pipe()
    child = os.fork()
    if child == 0:
        write(folder, rate, seconds, writing, follows)
        os._exit(0)
    os.read(reading, 1)
    lags, count = [], int(rate * seconds)
    for event in follow(JournalReader(folder), notify=how == "watchdog"):
        now = time.perf_counter_ns()  # the same clock in both processes
        table = event.fields.get("table")
        values = table.values if table is not None else [event.fields["value"]]
        if not values[0]:
            os.write(go, b".")
            continue
        lags += [(now - value) / 1e9 for value in values]
        if len(lags) >= count:
            break
    os.waitpid(child, 0)
    with open(result, "w", encoding="utf-8") as file:
        json.dump(lags, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
