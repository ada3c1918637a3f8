"""Every task trains and predicts in every precision that a CPU has; what no model supports is refused at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.strategies import FSDPStrategy
from unions import NONE, classifier, tagger, translator

from zoo.errors import ZooError
from zoo.models.options import POINTER_GENERATOR, OptimizerOptions
from zoo.models.supported import check_supported

FAST = OptimizerOptions(learning_rate=2e-2, warmup=0.0)
MODELS = {
    "softmax": lambda: tagger("sample-en", optimizer=FAST),
    "crf": lambda: tagger("sample-en-ner", head="crf", language_model_weight=0.1, optimizer=FAST),
    "minimal GRU": lambda: tagger("sample-en", cell="min_gru", optimizer=FAST),
    "minimal LSTM": lambda: classifier(cell="min_lstm", optimizer=FAST),
    "classifier": lambda: classifier(regularization=replace(NONE, adversarial=0.1), optimizer=FAST),
    "pointer": lambda: translator(attention=replace(POINTER_GENERATOR, size=4, coverage_after=0), optimizer=FAST),
}
TYPES = {"bf16-mixed": torch.float32, "bf16-true": torch.bfloat16, "64-true": torch.float64}
TEXTS = ["free prize now", "see you at home"]


class LossTypes(Callback):
    """Keeps the types of the losses of training steps."""

    def __init__(self):
        self.types = set()

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        self.types.add(outputs["loss"].dtype)


@pytest.mark.parametrize("precision", TYPES)
@pytest.mark.parametrize("kind", MODELS)
def test_every_task_learns_and_predicts(kind, precision):
    pl.seed_everything(0, verbose=False)
    model, data = MODELS[kind]()
    expected = model.predict(TEXTS)
    types = LossTypes()
    trainer = pl.Trainer(
        max_steps=20, accelerator="cpu", precision=precision, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=5.0, num_sanity_val_steps=0,
        limit_val_batches=2, callbacks=[types],
    )  # fmt: skip
    model.max_length = 5
    before = trainer.validate(model, data, verbose=False)[0]["val/loss"]
    trainer.fit(model, data)
    assert trainer.validate(model, data, verbose=False)[0]["val/loss"] < before
    assert types.types <= {torch.float32, torch.float64}
    assert {p.dtype for p in model.parameters()} == {TYPES[precision]}
    assert all(p.isfinite().all() for p in model.parameters())
    found = model.predict(TEXTS)
    assert [type(one) for one in found] == [type(one) for one in expected]
    if isinstance(found[0], dict):
        assert [sum(one["probabilities"].values()) for one in found] == pytest.approx([1.0, 1.0], abs=1e-6)


def test_a_strategy_that_splits_weights_is_refused(monkeypatch):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    check_supported(trainer)
    # Without a GPU, Lightning itself makes no Trainer with FSDP.
    monkeypatch.setattr(type(trainer), "strategy", FSDPStrategy())
    with pytest.raises(ZooError, match="keeps all weights on each device, got FSDPStrategy.*strategy='ddp'"):
        check_supported(trainer)


def test_a_precision_that_replaces_layers_is_refused_before_training(monkeypatch):
    model, data = classifier()
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    monkeypatch.setattr(type(trainer), "precision", "transformer-engine")
    with pytest.raises(ZooError, match="expected a precision of 32-true.*got 'transformer-engine'"):
        trainer.fit(model, data)
