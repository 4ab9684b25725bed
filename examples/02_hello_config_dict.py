"""An experiment whose configuration is a dictionary.

Try it::

    $ python 02_hello_config_dict.py
    $ python 02_hello_config_dict.py with message="Ciao world!"
    $ python 02_hello_config_dict.py print_config
"""

from sacred import Experiment

ex = Experiment("hello_config_dict")
ex.add_config({"message": "Hello world!"})


@ex.automain
def main(message):
    print(message)
