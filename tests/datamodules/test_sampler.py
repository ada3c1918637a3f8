"""The batches of a training are those that its Trainer's flags ask for, resumed or not."""

from __future__ import annotations

from itertools import chain, product

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

import zoo
from datamodules import ClassificationDataModule

BUDGET = 100  # 16 batches an epoch


class Seen(Callback):
    """Keeps the rows of every batch, epoch by epoch."""

    def __init__(self, stop_after: int | None = None, folder=None):
        self.train: dict[int, list] = {}
        self.dev: dict[int, list] = {}
        self.stop_after, self.folder, self.batches = stop_after, folder, 0

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        self.train.setdefault(trainer.current_epoch, []).append(tuple(batch.rows.tolist()))
        self.batches += 1
        if self.batches == self.stop_after:
            trainer.save_checkpoint(self.folder / "stopped.ckpt")
            raise KeyboardInterrupt

    def on_validation_batch_end(self, trainer, model, outputs, batch, index, loader=0):
        self.dev.setdefault(trainer.current_epoch, []).append(tuple(batch.rows.tolist()))


def spam():
    data = ClassificationDataModule("sample-spam", max_tokens=BUDGET)
    data.evaluation_budget = BUDGET
    return data


def fit(*, checkpoint=None, callbacks=(), seen=None, data=None, num_workers=0, **flags):
    """The batches of a training on the sample."""
    seen = seen or Seen()
    data = data or spam()
    data.num_workers = num_workers
    model = zoo.TextClassifier(data.codec, embedding_size=2, hidden_size=2)
    options = dict(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=bool(callbacks), num_sanity_val_steps=0,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[seen, *callbacks],
    )  # fmt: skip
    pl.Trainer(**{**options, **flags}).fit(model, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return seen


@pytest.fixture(scope="module")
def whole():
    return fit(max_epochs=6)


def test_every_epoch_has_all_rows_in_an_order_of_its_own(whole):
    rows = [sorted(chain(*batches)) for batches in whole.train.values()]
    assert rows[0] == list(range(len(rows[0])))
    assert all(of_epoch == rows[0] for of_epoch in rows)
    assert len({tuple(batches) for batches in whole.train.values()}) == 6


@pytest.mark.parametrize("overfitted, batches", [(1, 1), (3, 3), (0.25, 4)])
def test_overfitting_repeats_the_same_batches(overfitted, batches):
    seen = fit(overfit_batches=overfitted)
    assert [len(of_epoch) for of_epoch in seen.train.values()] == [batches] * 3
    for epochs in (seen.train, seen.dev):
        assert epochs[0] == epochs[1] == epochs[2]


def test_texts_to_overfit_on_and_to_score_first_are_short_and_long():
    lengths = {"train": [], "dev": []}

    class Lengths(Callback):
        def on_train_batch_start(self, trainer, model, batch, index):
            lengths["train"] += [int(batch.inputs.lengths.max())]

        def on_validation_batch_start(self, trainer, model, batch, index, loader=0):
            lengths["dev"] += [int(batch.inputs.lengths.max())]

    fit(overfit_batches=4, callbacks=[Lengths()], max_epochs=1, enable_checkpointing=False)
    for of_split in lengths.values():
        assert len(of_split) == 4
        assert of_split != sorted(of_split)


@pytest.mark.parametrize("every", [1, 2])
def test_loaders_that_are_reloaded_go_on(every, whole):
    seen = fit(reload_dataloaders_every_n_epochs=every, max_epochs=4)
    assert seen.train == {epoch: whole.train[epoch] for epoch in range(4)}


@pytest.mark.parametrize("limit, batches", [(3, 3), (0.2, 3), (0.5, 8)])
@pytest.mark.parametrize("reloaded", [0, 1])
def test_of_a_limited_epoch_all_batches_are_seen_in_time(limit, batches, reloaded, whole):
    seen = fit(limit_train_batches=limit, max_epochs=6, reload_dataloaders_every_n_epochs=reloaded)
    assert seen.train == {epoch: whole.train[epoch][:batches] for epoch in range(6)}


FLAGS = [
    dict(), dict(limit_train_batches=3), dict(limit_train_batches=0.2), dict(overfit_batches=3),
    dict(reload_dataloaders_every_n_epochs=1), dict(limit_train_batches=5, reload_dataloaders_every_n_epochs=1),
    dict(limit_train_batches=6, val_check_interval=0.5), dict(accumulate_grad_batches=2, limit_train_batches=5),
    dict(max_steps=20, max_epochs=-1, limit_train_batches=6),
    dict(max_steps=20, max_epochs=-1, limit_train_batches=6, reload_dataloaders_every_n_epochs=1),
]  # fmt: skip


WITH_WORKERS = dict(num_workers=1, limit_train_batches=5, reload_dataloaders_every_n_epochs=1)
UNINTERRUPTED = {}


def uninterrupted(flags):
    """The batches of a training with these flags, epoch by epoch."""
    if str(flags) not in UNINTERRUPTED:
        UNINTERRUPTED[str(flags)] = fit(**flags).train
    return UNINTERRUPTED[str(flags)]


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("when", ["epoch", "validation"])
def test_a_training_resumed_after_an_epoch_sees_what_an_uninterrupted_one_does(flags, when, tmp_path):
    alone = uninterrupted(flags)
    at_epoch = when == "epoch"
    kept = ModelCheckpoint(tmp_path, filename="{epoch}-{step}", save_top_k=-1, save_on_train_epoch_end=at_epoch)
    fit(callbacks=[kept], **{**flags, "max_epochs": 2, "max_steps": -1})
    first = min(tmp_path.glob("epoch=0-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    resumed = fit(checkpoint=first, **flags).train
    before = len(alone[0]) if at_epoch else done(flags, alone)
    assert list(chain(*resumed.values())) == list(chain(*alone.values()))[before:]


def done(flags, alone):
    """Batches before the first validation."""
    return int(len(alone[0]) * flags.get("val_check_interval", 1.0))


@pytest.mark.parametrize(
    "flags, batches", [*product(FLAGS, [1, 2, 3, 4]), (FLAGS[4], 35), (WITH_WORKERS, 2), (WITH_WORKERS, 8)], ids=str
)
def test_a_training_stopped_at_any_batch_repeats_and_skips_nothing(flags, batches, tmp_path):
    alone = uninterrupted(flags)
    before = Seen(stop_after=batches, folder=tmp_path)
    with pytest.raises(SystemExit):
        fit(seen=before, **flags)
    resumed = fit(checkpoint=tmp_path / "stopped.ckpt", **flags)
    expected = list(chain(*alone.values()))
    assert list(chain(*before.train.values(), *resumed.train.values())) == expected


def test_a_second_training_begins_anew_and_a_longer_one_goes_on(whole):
    data = spam()
    for _ in range(2):
        assert fit(data=data, max_epochs=2).train == {epoch: whole.train[epoch] for epoch in range(2)}
    seen = Seen()
    model = zoo.TextClassifier(data.codec, embedding_size=2, hidden_size=2)
    trainer = pl.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[seen],
    )  # fmt: skip
    trainer.fit(model, data)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, data)
    assert seen.train == {epoch: whole.train[epoch] for epoch in range(3)}
