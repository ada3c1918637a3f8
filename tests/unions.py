"""Tiny models of every task and loss, and a check that an optimizer step has the gradient of all its batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import get_total_norm

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from zoo.models.base import ZooModule
from zoo.models.options import POINTER_GENERATOR, CharacterOptions, RegularizationOptions, Seq2SeqRegularization

Made = tuple[ZooModule, CorpusDataModule]
NONE = RegularizationOptions()
SMOOTHED = RegularizationOptions(label_smoothing=0.1)


def tagger(dataset: str, **options) -> Made:
    data = TaggingDataModule(dataset, max_tokens=100)
    characters = CharacterOptions(embedding_size=4, output_size=4)
    sizes = dict(embedding_size=4, characters=characters, hidden_size=4, num_layers=1, dropout=0.0)
    return zoo.SequenceTagger(data.codec, **{**sizes, "regularization": NONE, **options}), data


def illegal_tagger() -> Made:
    """A CRF some of whose gold breaks the scheme, in one batch all of it."""
    model, data = tagger("sample-en-ner", head="crf", language_model_weight=0.5)
    data.setup("fit")
    dataset = data._encoded["train"]
    inside = next(i for i, tag in enumerate(model.codec.tags) if tag.startswith("I-"))
    (shortest,) = {min(dataset.lengths)}
    for row, length in enumerate(dataset.lengths):
        if length <= shortest + 4 or row % 3 == 0:
            dataset.tag_ids[row][0] = inside
    return model, data


def classifier(**options) -> Made:
    data = ClassificationDataModule("sample-spam", max_tokens=100)
    sizes = dict(embedding_size=4, hidden_size=4, dropout=0.0)
    return zoo.TextClassifier(data.codec, **{**sizes, "regularization": NONE, **options}), data


def translator(**options) -> Made:
    data = Seq2SeqDataModule("sample-phrases", tokenizer="words", max_tokens=100)
    smoothed = Seq2SeqRegularization(label_smoothing=0.1)
    sizes = dict(embedding_size=4, encoder_size=4, decoder_size=4, dropout=0.0, regularization=smoothed)
    return zoo.Seq2Seq(data.codec, **{**sizes, **options}), data


CASES: dict[str, Callable[[], Made]] = {
    "softmax": lambda: tagger("sample-en", regularization=SMOOTHED),
    "illegal gold": illegal_tagger,
    "second task and adversary": lambda: tagger(
        "sample-en-ner", language_model_weight=0.5, regularization=replace(NONE, adversarial=0.3)
    ),
    "class weights": lambda: classifier(class_weights=[1.0, 3.0], regularization=SMOOTHED),
    "adversary": lambda: classifier(regularization=replace(NONE, adversarial=0.3)),
    "translation": lambda: translator(),
    "pointer and coverage": lambda: translator(attention=replace(POINTER_GENERATOR, size=4, coverage_after=0)),
}
CLIP = 1e-3


class Unions(Callback):
    """Compares each step's gradient, before and after it is clipped, with that of one batch of all rows.

    At the end it compares the logged loss with the mean over all tokens or texts.
    """

    def __init__(self):
        self.rows: list[int] = []
        self.expected: list[torch.Tensor] = []
        self.losses = torch.zeros(2, dtype=torch.double)

    def on_train_batch_start(self, trainer, model, batch, index):
        self.rows += batch.rows.tolist()

    def on_before_optimizer_step(self, trainer, model, optimizer):
        rows = sorted(rows_of_all_processes(self.rows))
        assert len(rows) == len(set(rows))
        batch = trainer.datamodule._encoded["train"].batch(rows)
        trained = [p for p in model.parameters() if p.grad is not None]
        loss = model.training_step(batch, 0)
        self.expected = list(torch.autograd.grad(loss, trained, materialize_grads=True))
        assert any(gradient.abs().max() > CLIP for gradient in self.expected)
        self.compare(model)
        norm = get_total_norm(self.expected)
        self.expected = [gradient * CLIP / (norm + 1e-6) for gradient in self.expected]
        self.rows = []

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        count = model.loss_count(batch)
        self.losses += torch.stack([outputs["loss"] * trainer.accumulate_grad_batches * count.clamp(min=1), count])
        if not self.rows:
            self.compare(model)

    def on_train_end(self, trainer, model):
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.losses)
        total, count = self.losses.tolist()
        assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(total / count, abs=1e-6)

    def compare(self, model):
        found = [p.grad for p in model.parameters() if p.grad is not None]
        scale = max(gradient.abs().max() for gradient in self.expected)
        for ours, theirs in zip(found, self.expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6 * float(scale))


def rows_of_all_processes(rows: list[int]) -> list[int]:
    parts = [rows]
    if torch.distributed.is_initialized():
        parts = [[]] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(parts, rows)
    return [row for part in parts for row in part]


def check_unions(case: str, **flags) -> None:
    """Trains a case for an epoch in double precision, and compares the gradients of all steps and the logged loss."""
    pl.seed_everything(0, verbose=False)
    model, data = CASES[case]()
    unions = Unions()
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", precision="64-true", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=CLIP, limit_val_batches=0,
        limit_train_batches=5, callbacks=[unions], **flags,
    )  # fmt: skip
    trainer.fit(model, data)
