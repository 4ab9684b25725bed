from sacred import Experiment

ex = Experiment("jupyter_ex", interactive=True)


@ex.main
def my_main():
    return "in a notebook"


print(ex.run().result)
