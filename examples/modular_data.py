"""Two ingredients in a file of their own: folders, and a data set that uses them."""

from sacred import Ingredient

paths = Ingredient("paths")


@paths.config
def paths_config():
    base = "/data"


dataset = Ingredient("dataset", ingredients=[paths])


@dataset.config
def dataset_config(paths):
    name = "digits"
    path = paths["base"] + "/" + name


@dataset.capture
def load(path, _log):
    _log.info("would load %s", path)
    return [len(part) for part in path.split("/")]
