from sacred import Experiment
from sacred.utils import apply_backspaces_and_linefeeds

ex = Experiment("filtered")
ex.captured_out_filter = apply_backspaces_and_linefeeds


@ex.automain
def my_main():
    print("10 %\r20 %\r30 %")
    print("wrong\b\b\b\b\bright")
