"""What a language model is worth to a classifier of few labelled texts: accuracy over their number, as a picture.

    ZOO_DATA=... python benchmarks/low_label.py --language-models runs/forward runs/backward --picture low-label.png

Each draw has its own training texts. Both ways read the same draws: from scratch with the defaults of the recipes for
small corpora, and from the language models by depth (Howard & Ruder 2018). The best epoch is chosen on a sample of dev,
and that checkpoint is scored once on test; the scores of all texts are of one draw. Every training has as many steps as
`--steps` says at least, so that few texts are read many times.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging

import zoo
from datamodules import ClassificationDataModule
from recipes.runner.averaging import moving_average
from recipes.runner.hardware import default_precision

CORPORA = ("imdb", "trec")
SIZES = (100, 500, 2000)
# Texts of dev that choose the best epoch.
DEV = 500
SMALL: dict[str, Any] = {"dropout": 0.3, "regularization": replace(zoo.TextClassifier.REGULARIZATION, adversarial=0.1)}
STARTED = {"pooling": "last+mean+max", "dropout": 0.4}
BY_DEPTH = zoo.FineTuningOptions(layer_decay=1 / 2.6)
SCRATCH, LANGUAGE_MODEL = "from scratch", "from language models"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language-models", nargs="+", required=True, help="one, or a forward and a backward one")
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA), choices=CORPORA)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--all", action="store_true", help="train on all texts, too")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3, help="at least")
    parser.add_argument("--test", type=int, default=0, help="texts of test; by default all")
    parser.add_argument("--max-length", type=int, default=400)
    parser.add_argument("--picture", type=Path, default=Path("low-label.png"))
    return parser.parse_args()


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows_of(corpus: str) -> dict[str, list[dict[str, str]]]:
    """The texts and labels of each split."""
    data = ClassificationDataModule(corpus)
    return {
        split: [{"text": text.text, "label": text.labels[0]} for text in data.texts(split)]
        for split in ("train", "dev", "test")
    }


def accuracy(files: dict[str, Any], way: str, options: argparse.Namespace, seed: int) -> float:
    """The accuracy on test of one training."""
    pl.seed_everything(seed, verbose=False)
    # A few texts have few words that occur twice.
    common: dict[str, Any] = {"min_count": 1, "max_length": options.max_length, "max_tokens": 4000}
    if way == SCRATCH:
        data = ClassificationDataModule(**files, **common)
        model: Any = zoo.TextClassifier(data.codec, **SMALL)
    else:
        first = zoo.from_pretrained(options.language_models[0])
        codec: Any = first.codec
        data = ClassificationDataModule(**files, **common, extends=codec)
        model = zoo.from_pretrained(options.language_models, codec=data.codec, arguments=STARTED)
        model.use_fine_tuning(BY_DEPTH)
    steps = len(data.train_dataloader())
    with tempfile.TemporaryDirectory() as folder:
        best = ModelCheckpoint(folder, monitor="val/accuracy", mode="max")
        average = WeightAveraging(use_buffers=False, avg_fn=moving_average(0.997))
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        plain: dict[str, Any] = {
            "accelerator": "cpu",
            "precision": default_precision(),
            "num_sanity_val_steps": 0,
            **quiet,
        }
        epochs = max(options.epochs, -(-options.steps // steps))
        # Dev is read ten times.
        every = max(1, epochs // 10)
        trainer = pl.Trainer(
            max_epochs=epochs, check_val_every_n_epoch=every, gradient_clip_val=1.0, callbacks=[average, best], **plain
        )
        trainer.fit(model, data)
        model.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
        (scores,) = pl.Trainer(**plain).test(model, data, verbose=False)
    return float(scores["test/accuracy"])


def curves(corpus: str, options: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    """The accuracies of all draws, by way and number of texts. Prints a row for each."""
    rows = rows_of(corpus)
    found: dict[str, dict[int, list[float]]] = {SCRATCH: {}, LANGUAGE_MODEL: {}}
    sizes = [*options.sizes, *([len(rows["train"])] if options.all else [])]
    test = random.Random(0).sample(rows["test"], options.test) if options.test else rows["test"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dev = random.Random(0).sample(rows["dev"], min(DEV, len(rows["dev"])))
        files = {"dev": write(folder / "dev.jsonl", dev), "test": write(folder / "test.jsonl", test)}
        for size in sizes:
            draws = options.draws if size < len(rows["train"]) else 1
            for way in found:
                started = time.perf_counter()
                scores = []
                for seed in range(draws):
                    chosen = random.Random(seed).sample(rows["train"], size)
                    train = write(folder / "train.jsonl", chosen)
                    scores.append(accuracy({"train": train, **files}, way, options, seed))
                found[way][size] = scores
                deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
                seconds = (time.perf_counter() - started) / draws
                mean = statistics.mean(scores)
                print(
                    f"| {corpus} | {size:,} | {way} | {100 * mean:.1f} ± {100 * deviation:.1f} | {seconds:.0f} |",
                    flush=True,
                )
    return found


def draw(found: dict[str, dict[str, dict[int, list[float]]]], path: Path) -> None:
    """Draws a panel for each corpus."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(5 * len(found), 3.5), squeeze=False, layout="constrained")
    for panel, (corpus, ways) in zip(panels[0], found.items(), strict=True):
        sizes = list(ways[SCRATCH])
        for way, scores in ways.items():
            means = [100 * statistics.mean(scores[size]) for size in sizes]
            lowest = [mean - 100 * min(scores[size]) for mean, size in zip(means, sizes, strict=True)]
            highest = [100 * max(scores[size]) - mean for mean, size in zip(means, sizes, strict=True)]
            panel.errorbar(sizes, means, yerr=[lowest, highest], marker="o", capsize=3, label=way)
        panel.set(title=corpus, xscale="log", xlabel="labelled texts", ylabel="accuracy on test, %")
        panel.set_xticks(sizes, [f"{size:,}" for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    options = parse_arguments()
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    print("| corpus | texts | way | accuracy | seconds a draw |\n| --- | ---: | --- | ---: | ---: |", flush=True)
    draw({corpus: curves(corpus, options) for corpus in options.corpora}, options.picture)


if __name__ == "__main__":
    main()
