"""Keep progress bars out of the record.

A progress bar writes the same line again and again, with a carriage return or backspaces in between. A terminal shows
the last state; a record would keep all of them. A *captured-output filter* takes the text that was captured and returns
the text to keep: this one does what a terminal does. The journal has both: the text as it was printed, and as it was
filtered.

Any function from text to text will do.

Try it::

    $ python captured_out_filter.py
    $ python captured_out_filter.py -F my_runs && cat my_runs/1/cout.txt
    $ sacred show last
"""

import time

from sacred import Experiment
from sacred.utils import apply_backspaces_and_linefeeds

ex = Experiment("climb")
ex.captured_out_filter = apply_backspaces_and_linefeeds


@ex.config
def config():
    steps = 20
    pause = 0.02  # seconds between two steps


@ex.automain
def climb(steps, pause):
    for step in range(1, steps + 1):
        print(f"\rstep {step:3} of {steps}", end="", flush=True)
        time.sleep(pause)
    print("\nalmost there ", end="")
    for left in range(9, 0, -1):
        print(f"{left}\b", end="", flush=True)
        time.sleep(pause)
    print("there")
