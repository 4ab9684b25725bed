"""What is logged: through the run's logger, Python's own, or one that you bring.

``_log`` is a logger below the experiment's, with the function's name. What is logged goes to the terminal, and with the
captured output into the record. ``-l`` sets the level of Python's root logger.

Try it::

    $ python log_example.py
    $ python log_example.py with kettle=0.2
    $ python log_example.py -l WARNING
"""

import logging

from sacred import Experiment

ex = Experiment("tea")

# Without the next lines the experiment logs in Sacred's format: LEVEL - name - text.
kitchen = logging.getLogger("kitchen")
handler = logging.StreamHandler()
handler.setFormatter(logging.Formatter("%(name)s: %(message)s (%(levelname).1s)"))
kitchen.addHandler(handler)
kitchen.propagate = False
kitchen.setLevel("INFO")
ex.logger = kitchen


@ex.config
def config():
    kettle = 1.5  # litres of water
    cups = 4


@ex.capture
def boil(kettle, cups, _log):
    need = cups * 0.25
    if kettle < need:
        _log.warning("%.1f litres are too little for %d cups", kettle, cups)
        return int(kettle / 0.25)
    _log.info("boiling %.1f litres", need)
    return cups


@ex.automain
def main(_log):
    served = boil()
    _log.info("%d cups of tea", served)
    return served
