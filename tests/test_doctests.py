"""Every `>>>` example of the packages prints what it says."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import pytorch_lightning as pl
import torch

import datamodules
import zoo
from zoo.hub import pretrained

ROOT = Path(__file__).parents[1]
ROOMS = ("zoo", "datamodules", "recipes")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")) if ">>> " in path.read_text("utf-8")]
MODULES = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in FILES]


def one_batch(**options: object) -> pl.Trainer:
    """A Trainer that stops after one batch: an example shows the arguments that a user would give."""
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(**{**options, **quiet, "accelerator": "cpu", "fast_dev_run": True})


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    # These are the imports that each example would otherwise repeat.
    usual = {"zoo": zoo, "torch": torch, "datamodules": datamodules, "pl": SimpleNamespace(Trainer=one_batch)}
    module = import_module(name)
    runner = doctest.DocTestRunner()
    failures: list[str] = []
    # Each example has a registry of its own.
    with patch.dict(pretrained.MODELS):
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=usual):
            runner.run(test, out=failures.append)
    assert runner.tries and not runner.failures, "".join(failures)
