from sacred import Experiment

ex = Experiment("run_object")


@ex.main
def my_main(_run):
    print(_run.status)
    return 7


run = ex.run()
print(run.status, run.result)
