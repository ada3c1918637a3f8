"""Trainings that run from the command line: `python -m recipes.pos_tagging`."""

import os
import sys

# oneDNN caches a kernel for each shape that it has seen, by default up to a thousand, and memory between these kernels
# cannot be reused. An epoch of the POS recipe on EWT would take 2.0 GB instead of 1.1, in about the same time.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

from zoo.errors import ZooError
from zoo.packages import check_package, require_extra

check_package("datamodules")

# `python -m` imports this package first, with "-m" as the name of the script. The modules in folders are no commands:
# without this check, they would end without a word.
modules = [word.removeprefix("-m") for word in sys.orig_argv if word.removeprefix("-m").startswith("recipes")]
if sys.argv[:1] == ["-m"] and modules and modules[0].count(".") > 1:
    sys.exit(f"error: {modules[0]} is not a recipe: python -m recipes lists the recipes")
if sys.argv[:1] == ["-m"] and modules and modules[0] != "recipes":
    try:
        require_extra("train")
    except ZooError as error:
        sys.exit(f"error: {error}")
