"""How a training scales over processes: how even the plan of an epoch is, and what a second core gains.

    python benchmarks/scaling.py plan [--picture benchmarks/scaling.png]
    python benchmarks/scaling.py train [--rounds 5] [--steps 60]

`plan` simulates 8 to 512 processes on the real corpora, at the default budget of each recipe, without any training: on
the corpora as they are, and on corpora that are larger in proportion to the processes, so that all have enough to do.
In each step all processes wait for the slowest one. The even share is the mean over the processes of a step divided by
their largest, summed over an epoch: of the sizes of the batches, padding included, and of their longest rows, which a
recurrent layer reads one time step after the other. Beside the plan stand the same batches, shared at random.

`train` measures the tokens per second of a tagger on EWT: one process pinned to one core, and two processes on two
cores, in turns. Each process trains on batches of the same budget.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from peers.rounds import markdown

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from datamodules.planning import EpochPlanner
from zoo.batches.bucketing import sides_of

PROCESSES = (8, 16, 32, 64, 128, 256, 512)
CORPORA: dict[str, Callable[[], CorpusDataModule[Any, Any]]] = {
    "EWT": lambda: TaggingDataModule("ud-en-ewt"),
    "SST-2": lambda: ClassificationDataModule("sst2"),
    "Multi30k": lambda: Seq2SeqDataModule("multi30k"),
}
WARM_UP = 10  # steps that do not count


def lengths_of(data: CorpusDataModule[Any, Any]) -> NDArray[np.int64]:
    """The tokens of each training example and side, `(N, S)`."""
    data.setup("fit")
    dataset: Any = data.train_dataloader().dataset
    return sides_of(dataset.data.lengths).astype(np.int64)


class Epoch(NamedTuple):
    """What the batches of a simulated epoch measure, each `(steps, processes)`."""

    tokens: NDArray[np.int64]
    sizes: NDArray[np.int64]  # with padding
    longest: NDArray[np.int64]


def epoch_of(sides: NDArray[np.int64], budget: int, processes: int) -> Epoch:
    """Plans an epoch for examples of the lengths `(N, S)`."""
    planner = EpochPlanner(sides, budget, processes=processes)
    epoch = Epoch(*np.empty((3, planner.num_steps, processes), dtype=np.int64))
    for rank in range(processes):
        batches = planner.batches(0, rank)
        for step in range(len(batches)):
            of_rows = sides[batches[step]]
            longest = of_rows.max(0).sum()
            epoch.tokens[step, rank] = of_rows.sum()
            epoch.sizes[step, rank] = len(of_rows) * longest
            epoch.longest[step, rank] = longest
    return epoch


def even_share(values: NDArray[np.int64]) -> float:
    """The mean over the processes of a step divided by their largest, over all steps, in percent."""
    return 100 * float(values.mean(1).sum() / values.max(1).sum())


def shared_at_random(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same batches in an order that has nothing to do with their size."""
    return np.random.default_rng(0).permutation(values.ravel()).reshape(values.shape)


def plan(picture: Path | None) -> None:
    """Prints the table of the simulation, and draws it."""
    head = ["corpus", "times", "budget", "processes", "steps", "tokens a process and step: 5 %", "median", "95 %"]
    head += ["even share of sizes: plan", "random", "of longest rows: plan", "random"]
    lines = []
    curves: dict[str, list[list[float]]] = {}
    for name, make in CORPORA.items():
        data = make()
        sides = lengths_of(data)
        for grows in (False, True):
            curve = curves[f"{name}, larger with the processes" if grows else name] = []
            for processes in PROCESSES:
                times = processes // PROCESSES[0] if grows else 1
                epoch = epoch_of(np.tile(sides, (times, 1)), data.budget, processes)
                quantiles = np.quantile(epoch.tokens, (0.05, 0.5, 0.95))
                measures = (epoch.sizes, epoch.longest)
                shares = [even_share(each) for values in measures for each in (values, shared_at_random(values))]
                curve.append(shares)
                numbers = [times, data.budget, processes, len(epoch.tokens), *quantiles]
                if grows and times == 1:
                    continue
                lines.append([name, *(f"{number:,.0f}" for number in numbers), *(f"{share:.1f} %" for share in shares)])
    print(markdown(head, words=1, lines=lines))
    if picture is not None:
        draw(curves, picture)


def draw(curves: dict[str, list[list[float]]], path: Path) -> None:
    """Draws the even shares over the number of processes."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("sizes of the batches", "longest rows of the batches")
    for axes, title, first in zip(panels, titles, (0, 2), strict=True):
        for number, (name, curve) in enumerate(curves.items()):
            color = f"C{number // 2}"
            style = "-" if number % 2 else "--"
            axes.plot(PROCESSES, [shares[first] for shares in curve], f"o{style}", color=color, label=name)
            axes.plot(PROCESSES, [shares[first + 1] for shares in curve], f"x{style}", color=color, alpha=0.35)
        axes.set_xscale("log", base=2)
        axes.set_xticks(PROCESSES, [str(processes) for processes in PROCESSES])
        axes.set(title=title, xlabel="processes", ylim=(0, 102))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("mean of a step over its largest, %")
    panels[0].legend(fontsize="small", title="pale crosses: shared at random", title_fontsize="small", loc="lower left")
    figure.savefig(path, dpi=120)


class Speed(pl.Callback):
    """Measures the training tokens per second of all processes together, after a warm-up."""

    def __init__(self) -> None:
        self.tokens = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == WARM_UP:
            trainer.strategy.barrier()
            self.start, self.tokens = time.perf_counter(), 0
        else:
            self.tokens += int(batch.num_tokens)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        tokens = trainer.strategy.reduce(torch.tensor(float(self.tokens)), reduce_op="sum")
        self.speed = float(tokens) / (time.perf_counter() - self.start)


def work(rank: int, processes: int, steps: int, corpus: str) -> None:
    """Trains as one of the processes, on a core of its own; the first one prints the speed of all."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    data = TaggingDataModule(corpus)
    speed = Speed()
    trainer = pl.Trainer(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto",
        max_steps=WARM_UP + steps, callbacks=[speed], gradient_clip_val=5.0,
        limit_val_batches=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(zoo.SequenceTagger(data.codec), data)
    if rank == 0:
        print(json.dumps(speed.speed))


def measured(processes: int, steps: int, corpus: str, port: int) -> float:
    """The tokens per second of a training on some processes, each on one core."""
    workers = []
    for rank in range(processes):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
        command = [sys.executable, __file__, "work", str(rank), str(processes), str(steps), corpus]
        workers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    written = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise SystemExit("a process has failed; its error is above")
    return float(json.loads(written[0].splitlines()[-1]))


def train(rounds: int, steps: int, corpus: str) -> None:
    """Prints the table of one process beside two."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for processes, found in speeds.items():
            found.append(measured(processes, steps, corpus, port=29700 + number))
    gain = median(two / one for one, two in zip(speeds[1], speeds[2], strict=True))
    lines = [[str(processes), f"{median(found):,.0f}"] for processes, found in speeds.items()]
    lines[0].append("1.00")
    lines[1].append(f"{gain:.2f}")
    print(markdown(["processes, each on one core", "tokens/s", "times as fast"], words=0, lines=lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    planning = commands.add_parser("plan")
    planning.add_argument("--picture", type=Path)
    training = commands.add_parser("train")
    training.add_argument("--rounds", type=int, default=5)
    training.add_argument("--steps", type=int, default=60)
    training.add_argument("--corpus", default="ud-en-ewt")
    working = commands.add_parser("work", help="one process of `train`, which starts it")
    working.add_argument("rank", type=int)
    working.add_argument("processes", type=int)
    working.add_argument("steps", type=int)
    working.add_argument("corpus")
    options = parser.parse_args()
    if options.command == "plan":
        plan(options.picture)
    elif options.command == "train":
        train(options.rounds, options.steps, options.corpus)
    else:
        work(options.rank, options.processes, options.steps, options.corpus)


if __name__ == "__main__":
    main()
