"""What a recipe's training takes beyond a bare PyTorch loop: Lightning, the recorder, checkpoints, guards, logs.

    ZOO_DATA=... python benchmarks/trainer_overhead.py [--steps 340] [--round 17] [--data.dataset ud-en-ewt]

The POS recipe trains as `python -m recipes.pos_tagging` does, without validation. After each round of steps it waits
while a bare loop takes the same batches with a model of its own: the same forward pass, autocast, backward pass,
clipping, fused AdamW, schedule and average of the weights. So both compute on the same data and the same machine within
a second of each other. At the end, some checkpoints are written, and compared with the minutes between two of them that
are the default. Flags that this script does not know go to the recipe.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from recipes import pos_tagging
from recipes.runner.averaging import moving_average
from recipes.runner.flags import TrainingCLI
from recipes.runner.saver import Saver
from zoo.models.base import ZooModule
from zoo.models.optim import adamw

CLIP = 5.0  # the recipe's
# How many checkpoints are measured.
SAVES = 9


class BareLoop:
    """A training without a Trainer."""

    def __init__(self, model: ZooModule, precision: str, decay: float):
        self.model = type(model)(**model.arguments)
        self.model.load_state_dict(model.state_dict())
        options = model.optimizer_options
        self.optimizer = adamw(
            self.model, learning_rate=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        self.schedule = LambdaLR(self.optimizer, lambda step: 1.0)
        # torch types the number of updates more widely than it passes it.
        average = moving_average(decay) if decay else None
        self.average = AveragedModel(self.model, avg_fn=average) if decay else None  # type: ignore[arg-type]
        self.half = precision == "bf16-mixed"

    def train(self, batches: list[Any]) -> float:
        """Takes a step with each batch; returns the seconds."""
        start = time.perf_counter()
        for number, batch in enumerate(batches):
            self.optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
                loss = self.model.training_step(batch, number)
            if not isinstance(loss, torch.Tensor):
                raise TypeError(f"expected a loss, got a {type(loss).__name__}")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
            self.optimizer.step()
            self.schedule.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
        return time.perf_counter() - start


class Beside(pl.Callback):
    """Measures the recipe round by round, and the bare loop after each round with the same batches."""

    def __init__(self, size: int, decay: float, precision: str):
        self.size, self.decay, self.precision = size, decay, precision
        self.batches: list[Any] = []
        self.seconds: list[tuple[float, float]] = []  # of the recipe and of the loop
        # Seconds of each checkpoint after the last step.
        self.saves: list[float] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, ZooModule):
            raise TypeError(f"expected a model of the zoo, got a {type(pl_module).__name__}")
        self.loop = BareLoop(pl_module, self.precision, self.decay)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append(batch)
        if len(self.batches) == self.size:
            recipe = time.perf_counter() - self.since
            self.seconds.append((recipe, self.loop.train(self.batches)))
            self._start()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        saver = next(each for each in trainer.checkpoint_callbacks if isinstance(each, Saver))
        for _ in range(SAVES):
            start = time.perf_counter()
            saver._save(trainer)
            self.saves.append(time.perf_counter() - start)

    def _start(self) -> None:
        self.batches = []
        self.since = time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=340)
    parser.add_argument("--round", type=int, default=17, help="steps before the other one takes its turn")
    options, flags = parser.parse_known_args()
    warnings.simplefilter("ignore")
    flags = flags or ["--data.dataset=ud-en-ewt"]
    with tempfile.TemporaryDirectory() as folder:
        limits = [f"--trainer.max_steps={options.steps + options.round}", "--trainer.max_epochs=-1"]
        limits += ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--wandb=disabled"]
        # The model is never scored: a validation belongs to neither of the two.
        limits += ["--trainer.check_val_every_n_epoch=1000000"]
        cli = TrainingCLI(pos_tagging.RECIPE, [f"--out={Path(folder) / 'run'}", *limits, *flags], test=False)
        beside = Beside(options.round, cli.config.ema, cli.config.trainer.precision)
        # Lightning declares this attribute nowhere. The last callback sees the time of all others.
        cli.trainer.callbacks.append(beside)  # type: ignore[attr-defined]
        cli.trainer.fit(cli.model, cli.datamodule)
        # The first round allocates memory and builds kernels.
        rounds = beside.seconds[1:]
        recipe, loop = (1000 * median(column) / options.round for column in zip(*rounds, strict=True))
        over = median(recipe / loop for recipe, loop in rounds) - 1
        print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {cli.config.trainer.precision}\n")
        print("| rounds | steps a round | recipe, ms a step | bare loop, ms a step | recipe over loop |")
        print("|---:|---:|---:|---:|---:|")
        print(f"| {len(rounds)} | {options.round} | {recipe:.2f} | {loop:.2f} | {100 * over:+.1f} % |")
        save = median(beside.saves)
        minutes = cli.config.checkpoints.every_minutes
        print(f"\na checkpoint takes {1000 * save:.0f} ms, {100 * save / (60 * minutes):.3f} % of {minutes:g} minutes")
        if cli.claim is not None:
            cli.claim.release()


if __name__ == "__main__":
    main()
