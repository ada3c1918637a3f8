"""Kills, terminates and interrupts runs at random moments, resumes each, and compares it with one left alone.

python benchmarks/kills.py                             200 of them
python benchmarks/kills.py --times 10 --seed 1
python benchmarks/kills.py --jobs 2                    two at a time

Three recipes on their bundled samples, on one process and on two, with dropout, an average of the weights, accumulated
batches or validations within an epoch. A run is interrupted up to three times before it may end. It is bit-equal if all
its weights, those of the average included, are those of the run that nothing interrupted.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import torch

ROOT = Path(__file__).parents[1]
COMMON = ["--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_epochs=3", "--ema=0.9"]
RECIPES = {
    "spam": [
        "--model.hidden_size=8", "--model.embedding_size=8", "--data.tokenizer=words", "--data.max_tokens=100",
        "--model.dropout=0.3", "--trainer.accumulate_grad_batches=3",
    ],
    "pos_tagging": [
        "--model.hidden_size=8", "--model.embedding_size=8", "--model.characters.output_size=4",
        "--data.max_tokens=60", "--trainer.val_check_interval=0.5",
    ],
    "translation": [
        "--model.embedding_size=8", "--model.encoder_size=8", "--model.decoder_size=16", "--model.attention.size=8",
        "--data.tokenizer=words", "--data.max_target=12", "--data.max_tokens=60", "--trainer.limit_train_batches=20",
    ],
}  # fmt: skip
WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Outcome:
    """What became of one run that was interrupted."""

    way: signal.Signals
    processes: int
    interrupts: int = 0
    torn: int = 0
    equal: bool = False
    wrong_rows: bool = True
    failure: str = ""


class Trainings:
    """Starts the runs, in a folder of their own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled",
        }  # fmt: skip
        self.lock = Lock()

    def start(self, recipe: str, out: Path, *flags: str) -> subprocess.Popen[str]:
        """Starts a training as the leader of a group of processes."""
        command = [sys.executable, "-m", f"recipes.{recipe}", "fit", f"--out={out}", *flags]
        errors = (self.folder / f"{out.name}.log").open("a")
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=errors, text=True,
            start_new_session=True,
        )  # fmt: skip

    def alone(self, recipe: str, processes: int) -> tuple[Path, float]:
        """The folder and the seconds of the run that nothing interrupts."""
        with self.lock:
            return self._alone(recipe, processes)

    @cache  # noqa: B019 (there is one object of this class)
    def _alone(self, recipe: str, processes: int) -> tuple[Path, float]:
        out = self.folder / f"{recipe}-{processes}"
        started = time.perf_counter()
        process = self.start(recipe, out, *flags_of(recipe, processes))
        if process.wait() != 0:
            raise SystemExit((self.folder / f"{out.name}.log").read_text())
        return out, time.perf_counter() - started

    def interrupt(self, number: int, recipe: str, processes: int, way: signal.Signals, seed: int) -> Outcome:
        """Interrupts a run at one to three random moments, lets it end, and compares it."""
        chance = random.Random(f"{seed}/{number}")
        expected, seconds = self.alone(recipe, processes)
        outcome = Outcome(way, processes)
        out = self.folder / f"run-{number}"
        flags = flags_of(recipe, processes)
        for _ in range(chance.randint(1, 3)):
            process = self.start(recipe, out, *flags)
            try:
                process.wait(timeout=chance.uniform(0.2, 0.9) * seconds)
                # It was faster than the run left alone, and only reports again.
                flags = ["--resume"]
                break
            except subprocess.TimeoutExpired:
                # Ctrl-C and the end of a machine reach all processes; `kill` reaches the first one.
                stop = os.kill if way == signal.SIGTERM else os.killpg
                stop(process.pid, way)
            try:
                process.wait(timeout=180)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                outcome.failure = f"{way.name}: still running after 180 seconds"
                return outcome
            outcome.interrupts += 1
            outcome.torn += torn(out)
            flags = ["--resume"] if resumable(out) else [*flags_of(recipe, processes), "--overwrite"]
        code = self.start(recipe, out, *flags).wait()
        if code != 0:
            outcome.failure = (self.folder / f"{out.name}.log").read_text()[-500:]
            return outcome
        outcome.equal = weights(out) == weights(expected)
        outcome.wrong_rows = curve(out) != curve(expected)
        return outcome


def flags_of(recipe: str, processes: int) -> list[str]:
    """The flags of a run of a recipe on one process or several."""
    several = [f"--trainer.devices={processes}", "--trainer.strategy=ddp"] if processes > 1 else []
    return [*COMMON, *RECIPES[recipe], *several, "--checkpoints.every_steps=7"]


def resumable(out: Path) -> bool:
    """Whether a run has a checkpoint."""
    return any((out / "checkpoints" / name).exists() for name in ("last.ckpt", "new.ckpt"))


def torn(out: Path) -> int:
    """The number of checkpoints that cannot be read."""
    damaged = 0
    for path in (out / "checkpoints").glob("*.ckpt"):
        try:
            torch.load(path, weights_only=True)
        except Exception:
            damaged += 1
    return damaged


def weights(out: Path) -> dict[str, bytes]:
    """All weights of the last checkpoint, as bytes."""
    checkpoint = torch.load(out / "checkpoints/last.ckpt", weights_only=True)
    parts = ("state_dict", "current_model_state")
    return {
        f"{part}.{name}": value.numpy().tobytes() for part in parts for name, value in checkpoint.get(part, {}).items()
    }


def curve(out: Path) -> list[dict[str, str]]:
    """The learning curve, without the times."""
    with (out / "learning-curve.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = [(recipe, processes, way) for way in WAYS for processes in (1, 2) for recipe in RECIPES]
    random.Random(options.seed).shuffle(cells)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, ThreadPoolExecutor(options.jobs) as pool:
        trainings = Trainings(Path(folder))
        futures = [
            pool.submit(trainings.interrupt, number, *cells[number % len(cells)], options.seed)
            for number in range(options.times)
        ]
        outcomes = []
        for future in futures:
            outcomes.append(future.result())
            print(f"{len(outcomes)}/{options.times}: {outcomes[-1]}", file=sys.stderr, flush=True)
    print("| signal | processes | runs | interrupts | bit-equal | torn checkpoints | lost or doubled rows |")
    print("|---|---|---|---|---|---|---|")
    for way in WAYS:
        for processes in (1, 2):
            of_cell = [each for each in outcomes if (each.way, each.processes) == (way, processes)]
            totals = Counter[str]()
            for each in of_cell:
                totals.update(
                    interrupts=each.interrupts, equal=int(each.equal), torn=each.torn, rows=int(each.wrong_rows)
                )
            columns = [totals[name] for name in ("interrupts", "equal", "torn", "rows")]
            print(f"| {way.name} | {processes} | {len(of_cell)} | {' | '.join(map(str, columns))} |")
    for failure in (each.failure for each in outcomes if each.failure):
        print(failure)
    print(f"{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    main()
