"""What fine-tuning is worth on small corpora: a few sentences or texts, with and without a bundled model.

    ZOO_DATA=... python benchmarks/fine_tuning.py > table.md
    ZOO_DATA=... python benchmarks/fine_tuning.py --only trec --seeds 1 --epochs 5

Every seed draws its own training examples. All ways read the same draws, and train for the same number of epochs. The
best epoch is chosen on a sample of dev, and that checkpoint is scored once on the whole test split. The tags of
CoNLL-03 are those of the Penn Treebank, in news of 1996; the source has seen web texts and universal tags. The
questions of TREC have six classes; the source has seen sentences of film reviews and two. The source of the shop
reviews has read them in training, with their polarity and without their category.

By depth: the learning rate falls by 1 / 2.6 from layer to layer (Howard & Ruder 2018). Unfrozen: one layer an epoch.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shlex
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

import zoo
from datamodules import ClassificationDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from recipes.runner.averaging import moving_average
from recipes.runner.hardware import default_precision
from zoo.codecs import Codec
from zoo.models.base import ZooModule
from zoo.models.transfer import transfer

SPLITS = ("train", "dev", "test")
# Howard & Ruder (2018), section 3.2.
LAYER_DECAY = 1 / 2.6
WAYS: dict[str, zoo.FineTuningOptions | None] = {
    "from scratch": None,
    "fine-tuned": zoo.FineTuningOptions(),
    "fine-tuned, by depth and unfrozen": zoo.FineTuningOptions(layer_decay=LAYER_DECAY, unfreeze_every=1),
    "fine-tuned, by depth": zoo.FineTuningOptions(layer_decay=LAYER_DECAY),
    "the head alone": zoo.FineTuningOptions(frozen=("embedding", "backbone")),
}
# The defaults of the recipes, those of classification for small corpora. They are the same with and without a source.
SMOOTHED = {"regularization": replace(zoo.SequenceTagger.REGULARIZATION, label_smoothing=0.1)}
SMALL = {"dropout": 0.3, "regularization": replace(zoo.TextClassifier.REGULARIZATION, adversarial=0.1)}


@dataclass(frozen=True)
class Task:
    """A corpus, and the model that is fine-tuned on it.

    Attributes:
        source: the name of a bundled model.
        examples: how many examples are trained on.
        dev: how many examples of dev choose the best epoch.
        files: the files of the splits, below the root.
        columns: arguments of the datamodule that reads them.
        model: the class of the model.
        regularized: arguments of the model that say how it is regularized.
        score: the score that is shown, and chooses the best epoch.
    """

    source: str
    examples: int
    dev: int
    files: tuple[str, str, str]
    columns: dict[str, Any]
    # A model of the zoo, whose constructors differ.
    model: Any
    regularized: dict[str, Any]
    score: str

    @property
    def tags(self) -> bool:
        """Whether it is tagging; otherwise it is classification."""
        return "column" in self.columns

    def data(self, files: dict[str, str], extends: Codec | None = None, **columns: Any) -> CorpusDataModule[Any, Any]:
        """The datamodule of some files."""
        kind: Any = TaggingDataModule if self.tags else ClassificationDataModule
        data: CorpusDataModule[Any, Any] = kind(**files, **columns, extends=extends)
        return data

    def rows(self, root: Path, split: str) -> list[dict[str, object]]:
        """The examples of a split as rows of JSON Lines."""
        path = str(root / self.files[SPLITS.index(split)])
        examples = self.data({split: path}, **self.columns).examples(split)
        if self.tags:
            return [{"tokens": sentence.tokens, "tags": sentence.tags} for sentence in examples]
        return [{"text": text.text, "label": text.labels[0]} for text in examples]


TASKS = {
    "conll03-pos": Task(
        source="pos-en-ewt",
        examples=200,
        dev=300,
        files=("conll03-en/eng.train", "conll03-en/eng.testa", "conll03-en/eng.testb"),
        columns={"column": "1", "format": "columns", "scheme": "none"},
        model=zoo.SequenceTagger,
        regularized=SMOOTHED,
        score="accuracy",
    ),
    "trec": Task(
        source="sentiment-en-sst2",
        examples=100,
        dev=300,
        files=("trec/train.tsv", "trec/dev.tsv", "trec/test.tsv"),
        columns={"text_column": 2, "label_column": 0},
        model=zoo.TextClassifier,
        regularized=SMALL,
        score="accuracy",
    ),
    "shopping-topics": Task(
        source="sentiment-zh-shopping",
        examples=100,
        dev=500,
        files=("shopping-zh/train.csv", "shopping-zh/dev.csv", "shopping-zh/test.csv"),
        columns={"text_column": "review", "label_column": "cat", "tokenizer": "characters"},
        model=zoo.TextClassifier,
        regularized=SMALL,
        score="accuracy",
    ),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", type=Path, default=Path(os.environ.get("ZOO_DATA", ".")))
    parser.add_argument("--only", nargs="+", default=list(TASKS), choices=TASKS, help="these corpora")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    return parser.parse_args()


def write(path: Path, rows: Iterable[object]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def draws(task: Task, root: Path, folder: Path, seeds: int) -> list[dict[str, str]]:
    """The files of each seed, by split."""
    rows = {split: task.rows(root, split) for split in SPLITS}
    dev = write(folder / "dev.jsonl", random.Random(0).sample(rows["dev"], task.dev))
    test = write(folder / "test.jsonl", rows["test"])
    files = []
    for seed in range(seeds):
        chosen = random.Random(seed).sample(rows["train"], task.examples)
        files.append({"train": write(folder / f"train-{seed}.jsonl", chosen), "dev": dev, "test": test})
    return files


def made(task: Task, files: dict[str, str], options: zoo.FineTuningOptions | None) -> tuple[ZooModule, Any]:
    """The model of one way, and its data."""
    # A few examples have few words that occur twice.
    columns: dict[str, Any] = {"min_count": 1}
    if options is None:
        if not task.tags:
            columns["tokenizer"] = task.columns.get("tokenizer", "words")
        data: Any = task.data(files, **columns)
        return task.model(data.codec, **task.regularized), data
    source = zoo.from_pretrained(task.source)
    data = task.data(files, extends=source.codec, **columns)
    model = task.model(**{**source.arguments, **task.regularized, "codec": data.codec})
    transfer(source, model, task.source)
    model.use_fine_tuning(options)
    return model, data


def trained(
    task: Task, files: dict[str, str], options: zoo.FineTuningOptions | None, *, seed: int, epochs: int
) -> tuple[float, float, float]:
    """The scores on dev and test, and the seconds of training."""
    pl.seed_everything(seed, verbose=False)
    model, data = made(task, files, options)
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor=f"val/{task.score}", mode="max")
        quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        common = {"accelerator": "cpu", "precision": default_precision(), "num_sanity_val_steps": 0, **quiet}
        average = WeightAveraging(use_buffers=False, avg_fn=moving_average(0.997))
        trainer = pl.Trainer(max_epochs=epochs, gradient_clip_val=5.0, callbacks=[average, best], **common)
        started = time.perf_counter()
        trainer.fit(model, data)
        seconds = time.perf_counter() - started
        if best.best_model_score is None:
            raise SystemExit("the training has written no checkpoint")
        checkpoint = torch.load(best.best_model_path, weights_only=True)
        model.load_state_dict(checkpoint["state_dict"])
        (scores,) = pl.Trainer(**common).test(model, data, verbose=False)
    return float(best.best_model_score), scores[f"test/{task.score}"], seconds


def shown(values: list[float]) -> str:
    """The mean of scores in per cent, and their standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.1f} ± {100 * deviation:.1f}"


def main() -> None:
    arguments = parse_arguments()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print(f"{date.today()}, torch {torch.__version__}, {arguments.epochs} epochs, mean of {arguments.seeds} draws\n")
    print("| corpus | examples | source | way | dev | test | seconds |")
    print("| --- | ---: | --- | --- | ---: | ---: | ---: |", flush=True)
    for name in arguments.only:
        task = TASKS[name]
        with tempfile.TemporaryDirectory() as folder:
            files = draws(task, arguments.data_root, Path(folder), arguments.seeds)
            for way, options in WAYS.items():
                results = [
                    trained(task, each, options, seed=seed, epochs=arguments.epochs) for seed, each in enumerate(files)
                ]
                dev, test, seconds = (list(values) for values in zip(*results, strict=True))
                source = "none" if options is None else task.source
                cells = [name, str(task.examples), source, way, shown(dev), shown(test)]
                print(f"| {' | '.join(cells)} | {statistics.mean(seconds):.0f} |", flush=True)
    print(f"\n`{shlex.join(['python', *sys.argv])}`")


if __name__ == "__main__":
    main()
