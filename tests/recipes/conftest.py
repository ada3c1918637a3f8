"""Trained runs that the tests of recipes share."""

from __future__ import annotations

from pathlib import Path

import pytest
import wandb
from command_line import run
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from small_runs import SMALL, TINY

from recipes.reports import figures


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch) -> None:
    """Pictures of one pixel, as drawing takes a third of a short run. The runs that tests share draw theirs."""

    def save(figure: Figure, path: Path) -> Path:
        plt.close(figure)
        Image.new("L", (1, 1)).save(path)
        return path

    monkeypatch.setattr(figures, "_save", save)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run that W&B has kept offline, whatever its environment says."""
    folder = tmp_path_factory.mktemp("trained")
    short = ["--trainer.max_epochs=2", "--trainer.limit_train_batches=10"]
    names = ["--wandb=offline", "--wandb_group=sizes", "--wandb_tags=small, gru", "--wandb_project=mine"]
    done = run("pos_tagging", "--out", "run", *names, *short, *TINY, cwd=folder)
    wandb.teardown()
    assert "predict --model run/model" in done.stdout
    return folder / "run"


@pytest.fixture(scope="session")
def classified(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classified")
    args = [
        "--out=run",
        "--trainer.max_epochs=3",
        "--model.pooling=max+attention",
        "--model.optimizer.learning_rate=0.01",
    ]
    done = run("sentiment", *args, *SMALL, cwd=folder)
    assert "recipes.sentiment predict --model run/model" in done.stdout
    return folder / "run"
