"""A loss or gradient that is not finite stops a training, or its step is left out; no checkpoint has such weights."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from unions import classifier, tagger, translator

from zoo.models.guard import FiniteGuard, NonFiniteError, Place

MODELS = {
    "tagger": lambda: tagger("sample-en"),
    "crf": lambda: tagger("sample-en-ner", head="crf"),
    "classifier": classifier,
    "translator": translator,
}
BAD = 3  # the batch that is poisoned


def infinite_gradient(loss: torch.Tensor, model: pl.LightningModule) -> torch.Tensor:
    parameter = next(iter(model.parameters()))
    return loss + (0 * parameter).square().sum().sqrt()


POISONS = {
    "loss is nan": lambda loss, model: loss * float("nan"),
    "loss is inf": lambda loss, model: loss + float("inf"),
    "norm of the gradient is nan": infinite_gradient,
}


def poisoned(task: str, poison: str, rank: int = 0):
    """A model that spoils the loss of one batch on one process, and its data."""
    pl.seed_everything(0, verbose=False)
    model, data = MODELS[task]()
    step = type(model).training_step

    def training_step(batch, batch_idx):
        loss = step(model, batch, batch_idx)
        return POISONS[poison](loss, model) if batch_idx == BAD and model.global_rank == rank else loss

    # In the copies of a weight average too.
    model.training_step = training_step
    return model, data


class Weights(Callback):
    """Keeps the weights before each step, the last ones at the end, and the rows of the bad batch."""

    def __init__(self):
        self.before: list[list[torch.Tensor]] = []
        self.rows: list[int] = []

    def keep(self, model):
        self.before.append([p.detach().clone() for p in model.parameters()])

    def on_train_batch_start(self, trainer, model, batch, index):
        self.keep(model)
        if index == BAD:
            self.rows = batch.rows.tolist()

    def on_train_end(self, trainer, model):
        self.keep(model)
        assert all(p.isfinite().all() for p in model.parameters())
        if torch.distributed.is_initialized():
            for p in model.parameters():
                mean = p.detach().clone()
                torch.distributed.all_reduce(mean)
                assert torch.equal(mean / 2, p)


def trainer(*callbacks, **flags) -> pl.Trainer:
    options = dict(
        max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        limit_train_batches=6, limit_val_batches=0, gradient_clip_val=5.0, enable_checkpointing=False,
    )  # fmt: skip
    return pl.Trainer(callbacks=list(callbacks), **{**options, **flags})


def same(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("task", MODELS)
def test_a_training_stops_before_a_bad_step_and_names_the_batch(task, poison, tmp_path):
    model, data = poisoned(task, poison)
    weights = Weights()
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)
    with pytest.raises(NonFiniteError) as raised:
        trainer(weights, saved, enable_checkpointing=True).fit(model, data)
    message = str(raised.value)
    assert f"the {poison} in epoch 0, step {BAD}, batch {BAD} of the epoch" in message
    assert f"rows {', '.join(map(str, weights.rows[:20]))}" in message and "begins with" in message
    assert same(model.parameters(), weights.before[BAD])
    files = [torch.load(path, weights_only=True)["state_dict"] for path in tmp_path.glob("*.ckpt")]
    assert len(files) == BAD
    assert all(value.isfinite().all() for state in files for value in state.values())


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    """Without clipping, nobody looks at the gradient before the weights are spoilt."""
    model, data = poisoned("classifier", "norm of the gradient is nan")
    every_step = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1)
    unclipped = trainer(every_step, enable_checkpointing=True, gradient_clip_val=None)
    with pytest.raises(NonFiniteError, match="the weight .* is NaN or infinite"):
        unclipped.fit(model, data)
    assert len([*tmp_path.iterdir()]) == BAD


@pytest.mark.parametrize("clip", [5.0, None])
@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("accumulated", [1, 2])
@pytest.mark.parametrize("fused", [True, False])
def test_a_bad_step_may_be_left_out(fused, accumulated, poison, clip):
    model, data = poisoned("classifier", poison)
    model.skip_nonfinite = True
    if not fused:
        model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), lr=0.1)
        model._is_fused = lambda: True  # its gradients are clipped as all are
    weights = Weights()
    fitted = trainer(weights, accumulate_grad_batches=accumulated, gradient_clip_val=clip)
    fitted.fit(model, data)
    changed = [not same(one, other) for one, other in zip(weights.before, weights.before[1:], strict=False)]
    step = BAD if accumulated == 1 else 3
    steps = range(accumulated - 1, 6, accumulated)
    assert changed == [index in steps and index != step for index in range(6)]
    assert fitted.callback_metrics["train/skipped"] == 1
    assert fitted.callback_metrics["train/loss"].isfinite()


def test_all_processes_stop_at_the_bad_batch_of_one():
    model, data = poisoned("classifier", "loss is nan", rank=1)
    with pytest.raises(Exception, match=f"NonFiniteError: the loss is nan in epoch 0, step {BAD}, .*: rows"):
        trainer(devices=2, strategy="ddp_fork").fit(model, data)


def test_all_processes_leave_out_the_bad_step_of_one():
    model, data = poisoned("classifier", "loss is nan", rank=1)
    model.skip_nonfinite = True
    fitted = trainer(Weights(), devices=2, strategy="ddp_fork")
    fitted.fit(model, data)
    assert fitted.callback_metrics["train/skipped"] == 1
    assert fitted.callback_metrics["train/loss"].isfinite()


def test_a_value_that_is_read_late_names_its_own_batch(monkeypatch):
    """As on a GPU, where a value is not read at once."""
    guard = FiniteGuard(lambda batch: f"rows {batch}")
    with monkeypatch.context() as patched:
        patched.setattr(guard, "read", lambda: None)
        for step, value in enumerate([1.0, float("nan"), 2.0, float("inf")]):
            loss = torch.tensor(value)
            guard.watch("loss", loss, ~loss.isfinite(), Place(0, step, step, batch=str(step)))
    with pytest.raises(NonFiniteError, match="the loss is nan in epoch 0, step 1, .*: rows 1"):
        guard.read()
    guard.read()
