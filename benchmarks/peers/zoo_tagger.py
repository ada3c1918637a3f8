"""The worker that trains and times `zoo.SequenceTagger`, for `benchmarks/tagging_peers.py`."""

from __future__ import annotations

import logging
import warnings
from time import perf_counter

import pytorch_lightning as pl
import torch
from turns import Pace, Turns

from datamodules.readers import TaggedSentence
from datamodules.tagging import TaggingDataModule
from zoo.pretrained import from_pretrained
from zoo.tagger import SequenceTagger


class EnglishWebTreebank(TaggingDataModule):
    """The corpus as recipes train on it, or only the first `limit` sentences of each split."""

    def __init__(self, root: str | None, limit: int | None):
        super().__init__("ud-en-ewt", root=root)
        self.limit = limit

    def sentences(self, split: str) -> list[TaggedSentence]:
        return super().sentences(split)[: self.limit]


class TakeTurns(pl.Callback):
    """Lets the other systems train between a Trainer's steps."""

    def __init__(self, turns: Turns, rounds: int):
        self.turns, self.rounds = turns, rounds

    def on_train_start(self, trainer, module) -> None:
        self.pace = Pace(self.turns, self.rounds, steps=int(trainer.estimated_stepping_batches))
        self.pace.begin()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.pace.step(int(batch.lengths.sum()))


def train(
    turns: Turns, data: TaggingDataModule, sizes: dict, epochs: int, rounds: int, precision: str, folder: str
) -> None:
    """Trains as a user would, with a plain Trainer, and saves the model in `folder`."""
    pl.seed_everything(0, verbose=False)
    take_turns = TakeTurns(turns, rounds)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        precision=precision,
        gradient_clip_val=5.0,
        callbacks=[take_turns],
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    model = SequenceTagger(data.words, data.characters, data.tags, lowercase=data.lowercase, **sizes)
    trainer.fit(model, data)
    model.save_pretrained(folder)
    turns.give(**take_turns.pace.result)


def tag(sentences: list[list[str]], folder: str, precision: str, threads: int) -> dict:
    """Times a freshly loaded tagger: its first call composes each word, its second one knows them."""
    torch.set_num_threads(threads)
    tagger = from_pretrained(folder)
    seconds = {}
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
        for words in ("new", "known"):
            started = perf_counter()
            tags = tagger.predict(sentences)
            seconds[words] = perf_counter() - started
    return {"seconds": seconds, "tags": tags}


def main() -> None:
    turns = Turns()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    settings = turns.take()
    torch.set_num_threads(settings["threads"])
    data = EnglishWebTreebank(**settings["data"])
    data.setup("fit")
    sentences = [list(sentence.tokens) for sentence in data.sentences("test")]
    turns.give(
        lstm_zoo=f"lstm-zoo on torch {torch.__version__} and pytorch-lightning {pl.__version__}",
        sentences_per_step=len(data.sentences("train")) / len(data.train_dataloader()),
    )
    train(turns, data, **settings["training"])
    while True:
        turns.give(**tag(sentences, **turns.take()))


main()
