from sacred import Experiment
from sacred.utils import SacredInterrupt, TimeoutInterrupt

ex = Experiment("interrupted")


class CustomInterrupt(SacredInterrupt):
    STATUS = "MY_CUSTOM_STATUS"


@ex.command
def late():
    raise TimeoutInterrupt


@ex.automain
def my_main():
    raise CustomInterrupt
