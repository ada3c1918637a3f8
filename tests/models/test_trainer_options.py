"""What a Trainer lets its users ask for, and a model's subclass do, the models of the zoo go along with."""

from __future__ import annotations

import math
import warnings

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from torch.utils.data import DataLoader, IterableDataset

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from recipes.runner.averaging import moving_average
from recipes.runner.callbacks import Recorder
from recipes.runner.run_folder import RunFolder
from zoo.models.optim import warmup_then_constant, warmup_then_cosine
from zoo.models.options import POINTER_GENERATOR, CharacterOptions, OptimizerOptions, RegularizationOptions

BATCHES = 16  # of an epoch


def trainer(**flags) -> pl.Trainer:
    options = dict(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    return pl.Trainer(**{**options, **flags})


def classified(kind=zoo.TextClassifier, **options):
    data = ClassificationDataModule("sample-spam")
    return kind(data.codec, **{**dict(embedding_size=4, hidden_size=4), **options}), data


def tagged(**options):
    data = TaggingDataModule("sample-en-ner")
    characters = CharacterOptions(embedding_size=4, output_size=4)
    sizes = dict(embedding_size=4, characters=characters, hidden_size=4, num_layers=1)
    return zoo.SequenceTagger(data.codec, **{**sizes, **options}), data


def translated(**options):
    data = Seq2SeqDataModule("sample-phrases", tokenizer="words")
    sizes = dict(embedding_size=4, encoder_size=4, decoder_size=4)
    return zoo.Seq2Seq(data.codec, **{**sizes, **options}), data


class Rates(Callback):
    """Keeps the factor of the learning rate at each step."""

    def __init__(self):
        self.factors = []

    def on_train_batch_start(self, trainer, model, batch, index):
        (optimizer,) = trainer.optimizers
        self.factors.append(optimizer.param_groups[0]["lr"] / model.learning_rate)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.0])
def test_the_learning_rate_is_constant_without_a_last_step(warmup):
    model, data = classified(optimizer=OptimizerOptions(warmup=warmup))
    rates = Rates()
    stop = EarlyStopping("val/loss", patience=0, min_delta=1e9)  # after two epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(max_epochs=-1, callbacks=[rates, stop]).fit(model, data)
    steps = int(warmup * BATCHES)
    expected = [(step + 1) / (steps + 1) for step in range(steps)] + [1.0] * (2 * BATCHES - steps)
    assert rates.factors == pytest.approx(expected)


def test_max_time_alone_limits_a_training():
    model, data = classified()
    trained = trainer(max_epochs=-1, max_time={"seconds": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained.fit(model, data)
    assert trained.global_step > 0


def test_the_learning_rate_is_constant_for_an_unknown_number_of_batches():
    model, data = classified()
    data.setup("fit")

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(data.train_dataloader())

    rates = Rates()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer(max_epochs=2, callbacks=[rates]).fit(model, DataLoader(Stream(), batch_size=None))
    assert rates.factors == [1.0] * 2 * BATCHES


def test_the_cosine_ends_at_zero_and_the_constant_schedule_stays_at_one():
    assert warmup_then_cosine(100, 100, 10) == pytest.approx(0)
    for step in range(10):
        assert warmup_then_cosine(step, 100, 10) == warmup_then_constant(step, 10) == (step + 1) / 11
    assert warmup_then_constant(10, 10) == warmup_then_constant(10**9, 10) == 1


TRUE = ["32-true", "64-true", "bf16-true", "16-true"]
MODELS = {
    "class weights": lambda: classified(class_weights=[1.0, 3.0], regularization={"label_smoothing": 0.1}),
    "adversarial classifier": lambda: classified(regularization={"adversarial": 0.1}),
    "tagger": lambda: tagged(),
    "crf": lambda: tagged(head="crf", regularization={"adversarial": 0.1}, language_model_weight=0.1),
    "translator": lambda: translated(attention=POINTER_GENERATOR),
}


@pytest.mark.parametrize("precision", TRUE)
@pytest.mark.parametrize("kind", MODELS)
def test_weight_averaging_trains_in_every_precision(kind, precision):
    torch.manual_seed(0)
    model, data = MODELS[kind]()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    average = WeightAveraging(use_buffers=False, avg_fn=moving_average(0.9))
    fitted = trainer(precision=precision, callbacks=[average], limit_train_batches=3, limit_val_batches=1, max_epochs=2)
    fitted.fit(model, data)
    changed = [not torch.equal(before[name].to(p.dtype), p) for name, p in model.named_parameters()]
    assert all(p.isfinite().all() for p in model.parameters())
    assert sum(changed) > len(changed) / 2
    assert math.isfinite(fitted.callback_metrics["train/loss"])


@pytest.mark.parametrize("precision", TRUE)
def test_class_weights_of_several_labels_work_in_every_precision(precision, tmp_path):
    rows = [("a|b", "one text"), ("", "a second"), ("b", "another text"), ("a", "and the last")] * 4
    path = tmp_path / "a.tsv"
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), encoding="utf-8")
    data = ClassificationDataModule(train=str(path), dev=str(path), multi_label=True, min_count=1)
    smoothed = RegularizationOptions(label_smoothing=0.1)
    model = zoo.TextClassifier(data.codec, class_weights=[1.0, 3.0], regularization=smoothed, hidden_size=4)
    trainer(precision=precision).fit(model, data)


@pytest.mark.parametrize("kept", [torch.float32, torch.float64])
@pytest.mark.parametrize("trained", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_weight_average_keeps_changes_too_small_for_half_precision(trained, kept):
    average, current = torch.ones(3, dtype=kept), torch.full((3,), 1.25, dtype=trained)
    for updates in range(10_000, 11_000):
        average = moving_average(0.997)(average, current, torch.tensor(updates))
    assert average.dtype == kept
    torch.testing.assert_close(average, torch.full_like(average, 1.25 - 0.25 * 0.997**1000), rtol=1e-3, atol=0)


@pytest.mark.parametrize("adversarial", [0.0, 0.3])
@pytest.mark.parametrize("frozen", ["embedding", "embedding.words", "embedding backbone"])
@pytest.mark.parametrize("make", [classified, tagged])
def test_frozen_parameters_do_not_change_and_others_do(make, frozen, adversarial):
    model, data = make(regularization=RegularizationOptions(adversarial=adversarial))
    kept = [part for name in frozen.split() for part in model.get_submodule(name).parameters()]
    for part in kept:
        part.requires_grad_(False)
    before = [part.clone() for part in kept]
    head = [part.detach().clone() for part in model.head.parameters()]
    trainer(limit_train_batches=2, limit_val_batches=1).fit(model, data)
    assert all(torch.equal(a, b) for a, b in zip(before, kept, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(head, model.head.parameters(), strict=True))


def test_the_adversarial_loss_is_the_same_for_frozen_embeddings():
    model, data = classified(regularization=RegularizationOptions(adversarial=0.3), dropout=0.0)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    model.train()
    free = model.training_step(batch, 0)
    model.embedding.requires_grad_(False)
    assert torch.equal(model.training_step(batch, 0), free)


class Remembers(zoo.TextClassifier):
    """A classifier that keeps the losses of its steps, and skips those for which `skipped` is true."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.losses = []
        self.texts = []

    skipped = staticmethod(lambda index: False)

    def training_step(self, batch, index):
        if self.skipped(index):
            return None
        loss = super().training_step(batch, index)
        self.losses.append(loss.item())
        self.texts.append(len(batch.rows))
        return loss

    def mean(self, begin=0, end=None):
        """The mean loss of a text in these steps."""
        texts = self.texts[begin:end]
        pairs = zip(self.losses[begin:end], texts, strict=True)
        return sum(loss * count for loss, count in pairs) / max(1, sum(texts))


class SkipsSome(Remembers):
    skipped = staticmethod(lambda index: index % 2)


class SkipsAll(Remembers):
    skipped = staticmethod(lambda index: True)


@pytest.mark.parametrize("kind", [SkipsSome, SkipsAll])
@pytest.mark.parametrize("every", [1, 50])
def test_a_training_step_may_skip_batches(kind, every, tmp_path):
    model, data = classified(kind)
    recorder = Recorder(RunFolder(tmp_path), model.monitor)
    fitted = trainer(log_every_n_steps=every, callbacks=[recorder])
    fitted.fit(model, data)
    assert recorder.rows[0]["train/loss"] == pytest.approx(model.mean())
    assert (recorder.rows[0]["tokens"] > 0) == bool(model.losses)
    assert ("train/loss" in fitted.callback_metrics) == bool(model.losses)


@pytest.mark.parametrize("steps", ["dictionary", "by hand"])
def test_a_training_step_may_return_a_dictionary_or_optimize_manually(steps):
    class Own(zoo.TextClassifier):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.automatic_optimization = steps != "by hand"

        def training_step(self, batch, index):
            loss = super().training_step(batch, index)
            if self.automatic_optimization:
                return {"loss": loss, "more": 1}
            self.optimizers().zero_grad()
            self.manual_backward(loss)
            self.optimizers().step()
            return None

    fitted = trainer(log_every_n_steps=1)
    fitted.fit(*classified(Own))
    assert fitted.global_step == BATCHES


class Losses(Callback):
    """Keeps the training loss that callbacks see after each validation."""

    def __init__(self):
        self.validation = []

    def on_validation_end(self, trainer, model):
        self.validation.append((len(model.losses), float(trainer.callback_metrics["train/loss"])))


FLAGS = [
    dict(), dict(log_every_n_steps=5), dict(val_check_interval=0.5), dict(accumulate_grad_batches=3),
    dict(limit_val_batches=0), dict(check_val_every_n_epoch=2), dict(log_every_n_steps=0),
]  # fmt: skip


@pytest.mark.parametrize("flags", FLAGS, ids=str)
def test_callbacks_see_the_mean_loss_of_the_epoch_so_far(flags, tmp_path):
    model, data = classified(Remembers)
    seen = Losses()
    stop = EarlyStopping("train/loss", patience=5)
    best = ModelCheckpoint(tmp_path, monitor="train/loss", save_on_train_epoch_end=True)
    checkpoints = dict(enable_checkpointing=True, callbacks=[seen, stop, best])
    trainer(**{**dict(max_epochs=2), **checkpoints, **flags}).fit(model, data)
    assert len(model.losses) == 2 * BATCHES
    for batches, loss in seen.validation:
        begun = (batches - 1) // BATCHES * BATCHES
        assert loss == pytest.approx(model.mean(begun, batches))
    means = [model.mean(begin, begin + BATCHES) for begin in (0, BATCHES)]
    assert float(best.best_model_score) == pytest.approx(min(means))


def test_an_evaluation_outside_training_logs_no_training_loss():
    model, data = classified()
    fitted = trainer()
    fitted.fit(model, data)
    (scores,) = fitted.validate(model, data, verbose=False)
    assert not [name for name in scores if name.startswith("train/")]
