from sacred import Experiment

ex = Experiment("hello_cs")


@ex.config
def cfg():
    recipient = "world"
    message = f"Hello {recipient}!"


@ex.automain
def main(message):
    print(message)
