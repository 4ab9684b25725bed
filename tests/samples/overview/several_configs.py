import json
from pathlib import Path

from sacred import Experiment

ex = Experiment("several_configs")
Path("more.json").write_text(json.dumps({"bar": "from the file", "third": 3}))


@ex.config
def my_config():
    foo = 42
    bar = "baz"


ex.add_config({"foo": 23, "second": 2})
ex.add_config("more.json")


@ex.automain
def my_main(foo, bar, second, third):
    print(foo, bar, second, third)
