"""A user without a home that can be written, and without the usual folder for temporary files, trains and predicts."""

from __future__ import annotations

import sys

import pytest
from command_line import ROOT, run_python

import zoo

# Nobody, not even root, makes a folder here.
NOWHERE = "/proc/none"
ENVIRONMENT = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), NOWHERE)
TRAIN_AND_PREDICT = """
from recipes import spam
from recipes.runner.cli import main

short = ["--model.hidden_size=8", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
main(spam.RECIPE, ["--wandb=offline", "--out=run", *short])
main(spam.RECIPE, ["predict", "texts.txt"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_samples_and_bundled_models_work_without_a_home_that_can_be_written(tmp_path):
    (tmp_path / "texts.txt").write_text("Claim your free prize now!\n")
    done = run_python(
        "-c", TRAIN_AND_PREDICT, cwd=tmp_path, env={**ENVIRONMENT, "ZOO_DATA": "", "PYTHONPATH": str(ROOT)}
    )
    assert "test/accuracy" in done.stdout and done.stdout.splitlines()[-1].startswith("spam")
    assert list((tmp_path / "run/wandb").glob("offline-run-*"))
    # W&B prints its log where it cannot write it.
    assert " INFO " not in done.stderr
    assert zoo.from_pretrained(tmp_path / "run").codec
