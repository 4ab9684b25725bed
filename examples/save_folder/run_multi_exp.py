"""Run the experiment beside this file twelve times: three sweeps by hand.

Try it::

    $ python run_multi_exp.py
    $ sacred ls
    $ sacred query "select run, key, number from config where key in ('A', 'tau', 'N', 't_max') order by all"
"""

from experiment import ex


def sweep():
    """Yield the values of each run."""
    for tau in [0.1, 0.5, 1.0, 5, 10.0]:
        yield {"A": 10, "tau": tau, "B": 0, "N": 100, "t_max": 1}
    for i, N in enumerate([5, 10, 100, 1000]):
        yield {"A": 10 - i, "tau": tau, "B": 10 + i, "N": N, "t_max": 1}
    for i, t_max in enumerate([0.5, 1, 3]):
        yield {"A": 10 - i, "tau": tau, "B": 20 + i, "N": 100, "t_max": t_max}


if __name__ == "__main__":
    for config_updates in sweep():
        print(f"Running Sacred experiment for {config_updates}")
        ex.run(config_updates=config_updates)
