"""What it costs to watch a run: W&B, its gauges and the progress bar in each step, and all that is made at the end.

    ZOO_DATA=... python benchmarks/watching_overhead.py [--round 20] [--epochs 4] [--data.dataset ud-en-ewt]

The POS recipe trains as `python -m recipes.pos_tagging --wandb offline` does in a terminal. It is watched in every
other round of steps only, so both are measured in the same minute. At the end, all that a run writes beside its model
is timed: scored examples, pictures, the page, and what W&B gets. The seconds are compared with those of a whole
training of 20 epochs, of which a few are done here. W&B also has a process of its own, whose processor time is printed.
Flags that this script does not know go to the recipe.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Any

import pytorch_lightning as pl
import torch
import wandb

from recipes import pos_tagging
from recipes.runner import training
from recipes.runner.flags import TrainingCLI
from recipes.runner.progress import TrainingBar

# Epochs of a whole training, the recipe's default.
EPOCHS = 20


class InTurns(pl.Callback):
    """Watches a training in every other round, and takes the time of all rounds."""

    def __init__(self, size: int):
        self.size = size
        self.steps = 0
        # Seconds of rounds that are watched, and of those that are not.
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self.watched = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.loggers = trainer.loggers
        # Lightning declares this attribute nowhere.
        callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        self.bar = next(callback for callback in callbacks if isinstance(callback, TrainingBar))
        self.since = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The first round of an epoch is slower, whatever is watched.
        self._watch(trainer, trainer.current_epoch % 2 == 0)
        self.since = time.perf_counter()
        self.steps = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps += 1
        if self.steps == self.size:
            self.seconds[self.watched].append(time.perf_counter() - self.since)
            self._watch(trainer, not self.watched)
            self.steps = 0
            self.since = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._watch(trainer, True)

    def _watch(self, trainer: pl.Trainer, watched: bool) -> None:
        self.watched = watched
        trainer.loggers = self.loggers if watched else []
        if watched:
            self.bar.enable()
            self.bar._open()
        else:
            self.bar._close()


class Terminal:
    """A pseudo-terminal whose screen nobody sees, as standard error."""

    def __init__(self) -> None:
        master, slave = os.openpty()
        Thread(target=self._read, args=(master,), daemon=True).start()
        self.stream = open(slave, "w", encoding="utf-8")

    def _read(self, master: int) -> None:
        while os.read(master, 4096):
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round", type=int, default=20, help="steps before the other one takes its turn")
    parser.add_argument("--epochs", type=int, default=4)
    options, flags = parser.parse_known_args()
    warnings.simplefilter("ignore")
    flags = flags or ["--data.dataset=ud-en-ewt"]
    errors = sys.stderr
    sys.stderr = Terminal().stream
    with tempfile.TemporaryDirectory() as folder:
        limits = [f"--trainer.max_epochs={options.epochs}", f"--trainer.check_val_every_n_epoch={options.epochs}"]
        args = [f"--out={Path(folder) / 'run'}", "--wandb=offline", "--trainer.accelerator=cpu", *limits, *flags]
        cli = TrainingCLI(pos_tagging.RECIPE, args, test=True)
        in_turns = InTurns(options.round)
        # The last callback sees the time of all others. Lightning declares this attribute nowhere.
        cli.trainer.callbacks.append(in_turns)  # type: ignore[attr-defined]
        cli.save_config()
        cli.trainer.fit(cli.model, cli.datamodule)
        in_turns.bar._close()
        scoring = seconds_of_scoring(cli)
        start = time.perf_counter()
        training._report(cli, args, start)
        end = time.perf_counter() - start - scoring
        wandb.teardown()
        sys.stderr = errors
        report(in_turns, end, steps=int(cli.trainer.num_training_batches))
        if cli.claim is not None:
            cli.claim.release()


def seconds_of_scoring(cli: TrainingCLI) -> float:
    """The seconds that a run takes to score its model, which it would do in any case."""
    start = time.perf_counter()
    cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    return time.perf_counter() - start


def report(in_turns: InTurns, end: float, *, steps: int) -> None:
    """Prints a table.

    Args:
        in_turns: has the seconds of the rounds.
        end: the seconds after the training, without the scoring.
        steps: the steps of an epoch.
    """
    # The first round of each kind allocates memory and builds kernels.
    watched, plain = (in_turns.seconds[kind][1:] for kind in (True, False))
    pairs = list(zip(watched, plain, strict=False))
    over = median(one / other for one, other in pairs) - 1
    step = median(plain) / in_turns.size
    whole = step * steps * EPOCHS
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print("| rounds | ms a step | watched, over not | s of a whole training | s at the end | both, over a training |")
    print("|---:|---:|---:|---:|---:|---:|")
    print(f"| {len(pairs)} | {1000 * step:.2f} | {100 * over:+.2f} % | {whole:.0f} ", end="")
    print(f"| {end:.1f} | {100 * (over + end / whole):+.2f} % |")
    print(f"\nW&B's own process took {children.ru_utime + children.ru_stime:.1f} s of processor time here.")


if __name__ == "__main__":
    main()
