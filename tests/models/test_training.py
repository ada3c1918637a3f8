"""The parts of training that all models share."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import nn

from datamodules import ClassificationDataModule
from recipes.runner.callbacks import Recorder
from recipes.runner.run_folder import RunFolder
from zoo import TextClassifier
from zoo.models.optim import clip_grad_norm

ROOT = str(Path(__file__).parents[2])


@pytest.mark.parametrize("share", [0.01, 0.9, 1.1])
def test_gradient_clipping_equals_that_of_torch(share):
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 9))
    theirs = deepcopy(ours)
    x = torch.randn(5, 3)
    for model in (ours, theirs):
        # The last layer gets no gradient.
        model[:2](x).square().sum().backward()
    limit = share * nn.utils.get_total_norm(p.grad for p in ours.parameters() if p.grad is not None).item()
    clip_grad_norm(ours.parameters(), limit)
    nn.utils.clip_grad_norm_(theirs.parameters(), limit)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad) if a.grad is not None else b.grad is None


class Remembers(TextClassifier):
    """A classifier that keeps the loss and the number of texts of every batch."""

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.losses.append(float(loss))
        self.texts.append(len(batch.rows))
        return loss


@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("every", [1, 3, 0])
def test_the_loss_is_logged_at_the_steps_of_log_every_n_steps(tmp_path, capsys, every, accumulated):
    data = ClassificationDataModule("sample-spam", min_count=1, max_tokens=200)
    model = Remembers(data.codec, embedding_size=4, hidden_size=4)
    model.losses = []
    model.texts = []
    recorder = Recorder(RunFolder(tmp_path), model.monitor)
    trainer = pl.Trainer(
        max_steps=8, accelerator="cpu", logger=CSVLogger(tmp_path), log_every_n_steps=every, callbacks=[recorder],
        accumulate_grad_batches=accumulated, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, val_check_interval=3 * accumulated, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(model, data)
    with (tmp_path / "lightning_logs/version_0/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("train/loss")]
    recorded = {int(row["step"]): float(row["train/loss"]) for row in rows}
    steps = range(every - 1, 8, every) if every else []
    assert recorded == pytest.approx({step: model.losses[(step + 1) * accumulated - 1] for step in steps})
    first = slice(3 * accumulated)
    total = sum(loss * texts for loss, texts in zip(model.losses[first], model.texts[first], strict=True))
    assert recorder.rows[0]["train/loss"] == pytest.approx(total / sum(model.texts[first]))
    # The output names no number of epochs, because there is no limit.
    assert "-1" not in capsys.readouterr().err


def test_a_plain_trainer_prints_no_advertisements(tmp_path):
    script = (
        "import pytorch_lightning as pl, zoo\n"
        "from datamodules import ClassificationDataModule\n"
        "data = ClassificationDataModule('sample-spam')\n"
        "model = zoo.TextClassifier(data.codec, hidden_size=4, embedding_size=4)\n"
        "pl.Trainer(max_steps=1, limit_val_batches=0).fit(model, data)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": ROOT}, capture_output=True, text=True)
    # Lightning's messages about the training itself stay.
    assert "Trainer.fit" in done.stderr, done.stderr
    assert not re.search("tip|install|treespec", done.stdout + done.stderr, re.IGNORECASE)
