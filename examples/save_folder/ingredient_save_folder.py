"""An ingredient that gives each run a folder of its own to save into.

Its configuration says where the folders are; which one a run gets follows from the run's id.
"""

import os

from sacred import Ingredient

save_folder = Ingredient("save_folder")


@save_folder.config
def config():
    root = "results"  # where the folders of all runs are
    prefix = "run_"


@save_folder.capture
def make_folder(_run, root, prefix):
    """Make the folder of a run, and return its path."""
    folder = os.path.join(root, f"{prefix}{_run._id}")
    os.makedirs(folder, exist_ok=True)
    _run.info["save_folder"] = folder
    return folder
