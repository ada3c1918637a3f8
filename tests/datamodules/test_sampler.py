"""A training reads the batches that the flags of its Trainer ask for, resumed or not, in one process or two."""

from __future__ import annotations

import json
import os
import socket
import warnings
from itertools import chain
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import multiprocessing

import zoo
from datamodules import ClassificationDataModule

BUDGET = 100  # 16 batches an epoch
QUIET = dict(
    accelerator="cpu", logger=False, enable_checkpointing=False, num_sanity_val_steps=0, enable_progress_bar=False,
    enable_model_summary=False,
)  # fmt: skip


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
    options = dict(max_epochs=3, enable_checkpointing=bool(callbacks), callbacks=[seen, *callbacks])
    pl.Trainer(**{**QUIET, **options, **flags}).fit(
        model, data, ckpt_path=checkpoint, weights_only=True if checkpoint else None
    )
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


# Within an epoch, at its end and after it; between the batches of an optimizer step; before and after a validation.
STOPS = [
    ([1], dict()), ([2, 3, 4], dict(limit_train_batches=3)), ([3], dict(limit_train_batches=0.2)),
    ([2, 4], dict(overfit_batches=3)), ([1, 35], dict(reload_dataloaders_every_n_epochs=1)),
    ([4], dict(limit_train_batches=5, reload_dataloaders_every_n_epochs=1)),
    ([3, 4], dict(limit_train_batches=6, val_check_interval=0.5)),
    ([1, 2, 5], dict(accumulate_grad_batches=2, limit_train_batches=5)),
    ([2], dict(max_steps=20, max_epochs=-1, limit_train_batches=6)),
    ([3], dict(max_steps=20, max_epochs=-1, limit_train_batches=6, reload_dataloaders_every_n_epochs=1)),
    ([2, 8], WITH_WORKERS),
]  # fmt: skip


@pytest.mark.parametrize("flags, batches", [(flags, stop) for stops, flags in STOPS for stop in stops], ids=str)
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
    trainer = pl.Trainer(max_epochs=1, callbacks=[seen], **QUIET)
    trainer.fit(model, data)
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, data)
    assert seen.train == {epoch: whole.train[epoch] for epoch in range(3)}


@pytest.mark.parametrize("at_its_end", [True, False])
def test_a_training_that_ended_within_an_epoch_goes_on_with_the_next(at_its_end, tmp_path, whole):
    data = spam()
    model = zoo.TextClassifier(data.codec, embedding_size=2, hidden_size=2)
    kept = ModelCheckpoint(tmp_path, filename="{epoch}", save_on_train_epoch_end=True)
    trainer = pl.Trainer(**{**QUIET, "enable_checkpointing": True}, max_steps=20, max_epochs=9, callbacks=[kept])
    trainer.fit(model, data)
    if not at_its_end:
        trainer.save_checkpoint(kept.best_model_path)
    resumed = fit(checkpoint=kept.best_model_path, max_epochs=4)
    assert resumed.train == {epoch: whole.train[epoch] for epoch in (2, 3)}


@pytest.mark.parametrize("batches", [0, 1, 16, 18])
def test_a_batch_that_was_begun_is_not_done(batches, tmp_path, whole):
    class StopsAtTheStart(Seen):
        def on_train_batch_start(self, trainer, model, batch, index):
            if self.batches == batches:
                trainer.save_checkpoint(tmp_path / "stopped.ckpt")
                raise KeyboardInterrupt

    with pytest.raises(SystemExit):
        fit(seen=StopsAtTheStart())
    resumed = fit(checkpoint=tmp_path / "stopped.ckpt", max_epochs=2)
    assert [*chain(*resumed.train.values())] == [*chain(*list(whole.train.values())[:2])][batches:]


def test_a_new_training_with_the_data_of_a_resumed_one_begins_at_the_beginning(tmp_path, whole):
    with pytest.raises(SystemExit):
        fit(seen=Seen(stop_after=2, folder=tmp_path))
    data = spam()
    fit(checkpoint=tmp_path / "stopped.ckpt", data=data, max_epochs=1)
    assert fit(data=data, max_epochs=1).train[0] == whole.train[0]


def test_lightning_warns_of_nothing_about_the_loaders(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(SystemExit):
            fit(seen=Seen(stop_after=2, folder=tmp_path), overfit_batches=3)
        fit(checkpoint=tmp_path / "stopped.ckpt", overfit_batches=3)
    assert not [warning.message for warning in caught if "dataloader" in str(warning.message)]


def test_a_loader_leaves_the_random_numbers_of_a_training_alone():
    data = spam()
    data.setup("fit")
    before = torch.get_rng_state()
    for _ in data.train_dataloader():
        pass
    assert torch.equal(torch.get_rng_state(), before)


IN_TWO_PROCESSES = [
    dict(), dict(use_distributed_sampler=False), dict(limit_train_batches=3), dict(overfit_batches=3),
    dict(overfit_batches=3, use_distributed_sampler=False), dict(reload_dataloaders_every_n_epochs=1),
    dict(accumulate_grad_batches=2, limit_train_batches=5),
]  # fmt: skip


def one_process(rank: int, port: int, folder: Path) -> None:
    """Trains as one of two processes: with each of the flags, interrupted once and not."""
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    seen = []
    for flags in IN_TWO_PROCESSES:
        flags = dict(devices=2, strategy="ddp", max_epochs=2, **flags)
        alone = fit(**flags)
        before = Seen(stop_after=5, folder=folder)
        with pytest.raises(SystemExit):
            fit(seen=before, **flags)
        resumed = fit(checkpoint=folder / "stopped.ckpt", **flags)
        together = [*chain(*before.train.values()), *chain(*resumed.train.values())]
        seen.append({"train": [*alone.train.values()], "dev": [*alone.dev.values()], "resumed": together})
    (folder / f"{rank}.json").write_text(json.dumps(seen))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two processes has seen, for each of the flags."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.start_processes(one_process, (port, folder), nprocs=2, start_method="fork")
    of_ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]
    return {str(flags): seen for flags, *seen in zip(IN_TWO_PROCESSES, *of_ranks, strict=True)}


@pytest.mark.xdist_group("two_processes_of_data")
@pytest.mark.parametrize("flags", IN_TWO_PROCESSES, ids=str)
def test_two_processes_share_every_epoch(flags, two_processes):
    for split in ("train", "dev"):
        first, second = (of_rank[split] for of_rank in two_processes[str(flags)])
        assert [len(epoch) for epoch in first] == [len(epoch) for epoch in second]
        for epoch in zip(first, second, strict=True):
            rows = [row for of_rank in epoch for batch in of_rank for row in batch]
            assert len(set(rows)) == len(rows)
            if split == "train" and not {"limit_train_batches", "overfit_batches"} & flags.keys():
                assert sorted(rows) == list(range(len(rows)))


@pytest.mark.xdist_group("two_processes_of_data")
@pytest.mark.parametrize("flags", IN_TWO_PROCESSES, ids=str)
def test_two_processes_see_the_batches_that_the_flags_ask_for(flags, two_processes):
    for of_rank, unlimited in zip(two_processes[str(flags)], two_processes[str({})], strict=True):
        if "overfit_batches" in flags:
            assert of_rank["train"] == [of_rank["train"][0]] * 2
            assert [len(epoch) for epoch in of_rank["train"]] == [3] * 2
        else:
            limit = flags.get("limit_train_batches")
            assert of_rank["train"] == [epoch[:limit] for epoch in unlimited["train"]]


@pytest.mark.xdist_group("two_processes_of_data")
@pytest.mark.parametrize("flags", IN_TWO_PROCESSES, ids=str)
def test_two_processes_that_were_stopped_repeat_and_skip_nothing(flags, two_processes):
    for of_rank in two_processes[str(flags)]:
        assert of_rank["resumed"] == [*chain(*of_rank["train"])]
