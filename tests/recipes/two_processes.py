"""Trains on two processes, several recipes one after the other: Lightning starts this script again for the second.

python tests/recipes/two_processes.py '[["pos_tagging", "--out", "run"], ...]'
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

from recipes.runner.cli import main

FLAGS = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]

if __name__ == "__main__":
    for recipe, *args in json.loads(sys.argv[1]):
        main(import_module(f"recipes.{recipe}").RECIPE, [*args, *FLAGS])
