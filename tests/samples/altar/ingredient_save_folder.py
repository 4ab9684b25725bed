import os

from sacred import Ingredient

save_folder = Ingredient("save_folder")


@save_folder.config
def cfg():
    name = "results"


@save_folder.capture
def make_folder(_run, name, root=""):
    folder = os.path.join(root, name, str(_run._id))
    os.makedirs(folder)
    return folder
