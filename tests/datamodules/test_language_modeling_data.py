"""Language modeling on streams: windows, formats, exact resume, and what is refused."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st

import zoo
from datamodules.errors import DataError
from datamodules.language_modeling import LanguageModelingDataModule
from datamodules.windows import JITTER, in_turn, plan
from zoo import LanguageModel
from zoo.batches.language_modeling import StreamWindows
from zoo.errors import ZooError
from zoo.models.guard import NonFiniteError

SMALL = {"streams": 4, "window": 25}
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


@given(steps=st.integers(1, 300), size=st.integers(1, 60), epoch=st.integers(0, 3))
def test_the_windows_of_an_epoch_cover_each_step_once(steps, size, epoch):
    windows = plan(steps, size, tokens=1000, seed=0, epoch=epoch)
    assert [windows[0].start, windows[-1].end] == [0, steps]
    assert all(one.end == other.start for one, other in pairwise(windows))
    assert len({window.shift for window in windows}) == 1
    assert all(0 < window.end - window.start <= (1 + 2 * JITTER) * max(size, 2) * 1.5 + 1 for window in windows)
    turns = in_turn(steps, size)
    assert [turns[0].start, turns[-1].end] == [0, steps] and all(w.end - w.start <= size for w in turns)


@given(steps=st.integers(1, 300), size=st.integers(4, 60))
def test_all_epochs_have_as_many_windows_and_other_cuts(steps, size):
    epochs = [plan(steps, size, tokens=10**9, seed=0, epoch=epoch) for epoch in range(3)]
    assert len({len(windows) for windows in epochs}) == 1
    assert epochs[0] == plan(steps, size, tokens=10**9, seed=0, epoch=0)
    assert len({windows[0].shift for windows in epochs}) == 3


@pytest.mark.parametrize("ending", [".txt", ".txt.gz", ".jsonl", ".csv"])
def test_a_text_is_a_line_or_a_row_of_a_table(tmp_path, ending):
    texts = ["a good film", "the film was bad"]
    path = tmp_path / f"train{ending}"
    content = "".join(f"{text}\n" for text in texts)
    if ending == ".jsonl":
        content = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    if ending == ".csv":
        content = "text\n" + content
    path.write_bytes(gzip.compress(content.encode()) if ending.endswith(".gz") else content.encode())
    data = LanguageModelingDataModule(train=str(path))
    assert data.examples("train") == texts
    assert list(data.codec.vocabulary)[:4] == ["<pad>", "<unk>", "</s>", "film"]


@pytest.mark.parametrize("tokenizer", ["words", "characters", "bytes", "sentencepiece"])
def test_a_stream_spells_its_texts(tokenizer):
    data = LanguageModelingDataModule("sample-text-en", tokenizer=tokenizer, vocabulary_size=400)
    data.setup("fit")
    codec, texts = data.codec, data.examples("dev")
    text = texts[0]
    if tokenizer != "words":
        assert codec.text(codec.ids(text)[:-1]) == text
    stream = data.encoded("dev")
    assert len(stream) == sum(len(codec.ids(text)) for text in texts)
    assert stream.characters.sum() == sum(len(text) + 1 for text in texts)


class Saver(pl.Callback):
    """Saves a checkpoint after some steps, from which another training goes on."""

    def __init__(self, path: Path, steps: int):
        self.path = path
        self.steps = steps

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)


def trained(path: Path | None = None, steps: int = 0, resume: Path | None = None, **options) -> LanguageModel:
    data = LanguageModelingDataModule("sample-text-en", **{**SMALL, **options})
    pl.seed_everything(0, verbose=False)
    model = LanguageModel(data.codec, hidden_size=8, embedding_size=6, dropout=0.3)
    callbacks = [Saver(path, steps)] if path else []
    trainer = pl.Trainer(max_epochs=2, callbacks=callbacks, enable_checkpointing=False, **QUIET)
    trainer.fit(model, data, ckpt_path=resume)
    return model


@pytest.mark.parametrize("stop", [7, 50])
def test_a_training_resumes_with_its_state_bit_for_bit(tmp_path, stop):
    # An epoch has 37 windows.
    whole = trained(tmp_path / "last.ckpt", steps=stop)
    resumed = trained(resume=tmp_path / "last.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    for one, other in zip(whole._carried["train"], resumed._carried["train"], strict=True):
        assert all(map(torch.equal, one, other))


def test_a_training_cannot_go_on_with_other_streams(tmp_path):
    trained(tmp_path / "last.ckpt", steps=3)
    with pytest.raises(ZooError, match="expected the 4 streams and windows of 25 tokens of the training that is"):
        trained(resume=tmp_path / "last.ckpt", streams=2)


def test_a_model_learns_the_sample_and_scores_like_its_trainer():
    data = LanguageModelingDataModule("sample-text-en", **SMALL)
    pl.seed_everything(0, verbose=False)
    model = LanguageModel(data.codec, hidden_size=32, embedding_size=32, dropout=0.0)
    trainer = pl.Trainer(max_epochs=8, gradient_clip_val=1.0, enable_checkpointing=False, **QUIET)
    trainer.fit(model, data)
    assert trainer.callback_metrics["val/perplexity"] < 0.5 * len(data.codec.vocabulary)
    (scores,) = trainer.test(model, data, verbose=False)
    # Whatever the windows, each token is predicted from all tokens before it.
    stream = data.stream("test")
    whole = StreamWindows(stream, 1).batch(0, len(stream))
    with torch.no_grad():
        loss = model._mean_loss(model.eval()(whole.inputs).sequence, whole)
    assert scores["test/loss"] == pytest.approx(loss.item(), rel=1e-5)
    assert scores["test/perplexity"] == pytest.approx(loss.exp().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"streams": 0}, "numbers of at least 1, got 0"),
        ({"streams": 2000}, "expected at least 50000 tokens, a window for each stream, got 3678"),
        ({"dev_streams": 900}, "sample-text-en dev: expected at least 900 tokens"),
        ({"tokenizer": "keras"}, "unknown tokenizer 'keras'"),
        ({"dataset": "ud-en-ewt"}, "Corpora for language_modeling are ptb"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(options, message):
    def train() -> None:
        data = LanguageModelingDataModule(**{"dataset": "sample-text-en", **SMALL, **options})
        model = LanguageModel(data.codec, hidden_size=4, embedding_size=4)
        pl.Trainer(max_epochs=1, enable_checkpointing=False, **QUIET).fit(model, data)

    with pytest.raises(ZooError, match=message):
        train()


def test_a_model_goes_on_with_other_texts_and_more_words(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text("The zebra sleeps .\n" * 40, encoding="utf-8")
    source = trained()
    data = LanguageModelingDataModule(train=str(path), dev=str(path), extends=source.codec, **SMALL)
    known = len(source.codec.vocabulary)
    assert list(data.codec.vocabulary)[:known] == list(source.codec.vocabulary)
    assert list(data.codec.vocabulary)[known:] == ["sleeps", "zebra"]
    model = zoo.from_pretrained(source.save_pretrained(tmp_path / "source"), codec=data.codec)
    old, new = source.state_dict(), model.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)] if value.ndim else new[name], value), name
    pl.Trainer(max_epochs=1, enable_checkpointing=False, **QUIET).fit(model, data)


def test_a_dev_split_that_is_shorter_than_a_window_is_read_whole(tmp_path):
    path = tmp_path / "dev.txt"
    path.write_text("The driver works .\nShe sings .\n", encoding="utf-8")
    data = LanguageModelingDataModule(train=str(path), dev=str(path), **{**SMALL, "streams": 1, "window": 9})
    batches = list(data.val_dataloader())
    assert sum(int(batch.num_tokens) for batch in batches) == 9
    assert sum(batch.units for batch in batches).tolist() == [9, 31]


@pytest.mark.parametrize("skip", [False, True])
def test_a_window_that_is_not_finite_does_not_spoil_the_rest_of_its_streams(skip):
    data = LanguageModelingDataModule("sample-text-en", **SMALL)
    model = LanguageModel(data.codec, hidden_size=8, embedding_size=6)
    model.skip_nonfinite = skip
    embed, read = model._embed, []

    def spoiled(token_ids):
        read.append(token_ids)
        return embed(token_ids) * (float("nan") if len(read) == 5 else 1.0)

    model._embed = spoiled
    trainer = pl.Trainer(max_epochs=1, enable_checkpointing=False, limit_val_batches=0, **QUIET)
    if skip:
        trainer.fit(model, data)
        assert trainer.callback_metrics["train/skipped"] == 1
        assert all(part.isfinite().all() for of_cell in model._carried["train"] for part in of_cell)
    else:
        with pytest.raises(NonFiniteError, match="the windows that begin at tokens .* of the training split"):
            trainer.fit(model, data)


@pytest.mark.parametrize("options", [{}, {"backward": True}, {"tokenizer": "sentencepiece", "vocabulary_size": 400}])
def test_a_store_has_the_same_streams(options, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Parts of a few texts.
    monkeypatch.setattr("datamodules.readers.file_parts.CHUNK", 50)
    whole = LanguageModelingDataModule("sample-text-en", **SMALL, **options)
    stored = LanguageModelingDataModule("sample-text-en", store=True, **SMALL, **options)
    assert stored.codec == whole.codec
    for ours, theirs in (
        (stored, whole),
        (LanguageModelingDataModule("sample-text-en", store=True, **SMALL, **options), whole),
    ):
        for one, other in zip(ours.train_dataloader(), theirs.train_dataloader(), strict=True):
            assert torch.equal(one.target_ids, other.target_ids) and torch.equal(one.units, other.units)
            assert torch.equal(one.inputs.token_ids, other.inputs.token_ids)
    (line,), (same,) = ([each.stream("dev").batch([3])] for each in (stored, whole))
    assert torch.equal(line.target_ids, same.target_ids)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"body": "a film"}\n')
    data = LanguageModelingDataModule(train=str(path))
    with pytest.raises(DataError, match=r"train.jsonl:1: .*text"):
        data.examples("train")
