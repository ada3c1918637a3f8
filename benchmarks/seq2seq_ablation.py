"""What each part of a summarizer adds on `acl-titles`: attention, a pointer, coverage; with beams of 1 and 5.

    ZOO_DATA=... python benchmarks/seq2seq_ablation.py > table.md

The four models have the same seed, batches and number of steps. The last one uses coverage in the last 30 % of its
steps. Attention is additive, and texts are in lower case. Everything else is the summarization recipe's default, except
that the weights are those of the last step: they are not averaged, and no best epoch is chosen. The models write the
titles of dev. "Repeated" is the fraction of 2-grams that occur earlier in the same output. Minutes are of training
alone. Each row is printed as soon as it is known.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from time import perf_counter
from typing import Any, get_args

import pytorch_lightning as pl
import torch
from peers.pairs import FirstPairs
from peers.plain_trainer import Precision, plain_trainer
from rich.console import Console
from rich.progress import Progress, TaskID

from recipes.runner.hardware import default_precision
from zoo.metrics.generation import repetition, rouge
from zoo.models.options import POINTER_GENERATOR
from zoo.models.summarizer import Seq2SeqSummarizer

PARTS: dict[str, dict[str, Any]] = {
    "no attention": {"kind": "none", "copy": False, "coverage": False},
    "attention": {"copy": False, "coverage": False},
    "+ pointer": {"coverage": False},
    "+ coverage": {},
}
BEAMS = (1, 5)
# The largest norm of the gradients.
CLIP = 5.0
# The fraction of steps before coverage starts.
WITHOUT_COVERAGE = 0.7


class Advance(pl.Callback):
    """Advances a progress bar after each training step, and measures the minutes since training began."""

    def __init__(self, progress: Progress, bar: TaskID):
        self.progress, self.bar = progress, bar

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.started = perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        self.progress.advance(self.bar)
        self.minutes = (perf_counter() - self.started) / 60


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each training (%(default)s)")
    parser.add_argument(
        "--precision",
        default=default_precision(),
        choices=get_args(Precision),
        help="precision of training (%(default)s)",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first pairs of each split, to try this script out")
    return parser.parse_args()


def train(
    parts: Mapping[str, Any], data: FirstPairs, advance: Advance, steps: int, precision: Precision
) -> Seq2SeqSummarizer:
    """Trains a summarizer with these options of its attention."""
    pl.seed_everything(0, verbose=False)
    attention = replace(POINTER_GENERATOR, coverage_after=int(WITHOUT_COVERAGE * steps), **parts)
    model = Seq2SeqSummarizer(data.codec, attention=attention)
    plain_trainer(advance, precision=precision, max_steps=steps, clip=CLIP).fit(model, data)
    return model


def main() -> None:
    arguments = parse_arguments()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(arguments.threads)
    limits = {"limit": arguments.limit, "max_source": 250, "max_target": 50}
    data = FirstPairs("acl-titles", root=arguments.data_root, lowercase=True, **limits)
    sources, titles = zip(*data.pairs("dev"), strict=True)
    circumstances = f"{date.today()}, torch {torch.__version__}, {len(data.pairs('train')):,} training pairs"
    steps = f"{arguments.steps:,} steps of at most {data.budget:,} tokens"
    print(f"{circumstances}, {steps}, {arguments.precision}, {arguments.threads} threads\n")
    print("| model | parameters | minutes | beam | ROUGE-1 | ROUGE-2 | ROUGE-L | repeated, % |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with Progress(console=Console(stderr=True)) as progress:
        for name, parts in PARTS.items():
            advance = Advance(progress, progress.add_task(name, total=arguments.steps))
            model = train(parts, data, advance, arguments.steps, arguments.precision)
            parameters = sum(p.numel() for p in model.parameters())
            for beam in BEAMS:
                outputs = model.predict(sources, beam=beam)
                language = data.codec.language
                scores = [*rouge(outputs, titles, language).values(), repetition(outputs, language)]
                row = [
                    name,
                    f"{parameters:,}",
                    f"{advance.minutes:.1f}",
                    str(beam),
                    *(f"{100 * s:.2f}" for s in scores),
                ]
                print(f"| {' | '.join(row)} |", flush=True)
    print(f"\n`{shlex.join(['python', *sys.argv])}`")


if __name__ == "__main__":
    main()
