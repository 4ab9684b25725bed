from sacred import Experiment

ex = Experiment()


@ex.main
def my_main():
    pass
