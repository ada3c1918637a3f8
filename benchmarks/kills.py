"""Kills, terminates and interrupts runs at random moments, resumes each, and compares it with one left alone.

python benchmarks/kills.py                             200 of them
python benchmarks/kills.py --times 10 --seed 1

Three recipes on their bundled samples, with dropout, an average of the weights, accumulated batches or validations
within an epoch; on one process, on two that Lightning starts, and on two as torchrun starts them. A signal reaches all
processes of a run or one of them. A run is interrupted up to four times before it may end.

A run is right if its weights, scores and learning curve are, bit for bit, those of the run that nothing interrupted; if
each interrupt has ended all its processes within a minute, without a traceback; and if no checkpoint is ever torn.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from running import LIGHTNING, ONE, TORCHRUN, Training

from recipes.runner.run_folder import RunFolder

COMMON = [
    "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_epochs=2", "--ema=0.9",
    "--checkpoints.every_steps=7",
]  # fmt: skip
RECIPES = {
    "spam": [
        "--model.hidden_size=8", "--model.embedding_size=8", "--data.tokenizer=words", "--data.max_tokens=100",
        "--model.dropout=0.3", "--trainer.accumulate_grad_batches=3",
    ],
    "pos_tagging": [
        "--model.hidden_size=8", "--model.embedding_size=8", "--model.characters.output_size=4",
        "--data.max_tokens=100", "--trainer.val_check_interval=0.5",
    ],
    "translation": [
        "--model.embedding_size=8", "--model.encoder_size=8", "--model.decoder_size=16", "--model.attention.size=8",
        "--data.tokenizer=words", "--data.max_target=12", "--data.max_tokens=60", "--trainer.limit_train_batches=20",
    ],
}  # fmt: skip
# A fresh Python takes seconds to start, so fewer of the runs have one.
LAUNCHES = (ONE, TORCHRUN, ONE, TORCHRUN, LIGHTNING)
WAYS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# The exit codes that the first process may have after a signal. It may also have ended already, and 2 says that it has
# lost another process.
CODES = {signal.SIGKILL: {-9, 2, 0}, signal.SIGTERM: {143, -15, 2, 0}, signal.SIGINT: {130, -2, 2, 0}}
# The part of the interrupts that come before a run has read its data.
EARLY = 0.15
# Seconds after which a process that a signal should have ended counts as hanging.
PATIENCE = 60.0


@dataclass
class Outcome:
    """What became of one run that was interrupted."""

    recipe: str
    launch: str
    way: str
    interrupts: int = 0
    codes: list[int] = field(default_factory=list)
    torn: int = 0
    equal: bool = False
    wrong_rows: bool = True
    failures: list[str] = field(default_factory=list)


class Interrupter:
    """Interrupts runs in a folder of its own, and compares them with runs that nothing interrupts."""

    def __init__(self, folder: Path, seed: int):
        self.folder = folder
        self.seed = seed

    @cache  # noqa: B019 (there is one object of this class)
    def alone(self, recipe: str, processes: int) -> tuple[Path, float]:
        """The folder of the run that nothing interrupts, and its seconds since it had read the data."""
        out = self.folder / f"{recipe}-{processes}"
        launch = ONE if processes == 1 else TORCHRUN
        training = Training(recipe, launch, flags_of(recipe, launch, out), self.folder / f"{out.name}.log")
        training.wait_until_begun()
        begun = time.perf_counter()
        if not training.wait_for_all(600) or training.code() != 0:
            raise SystemExit(training.messages())
        return out, time.perf_counter() - begun

    def run(self, number: int, recipe: str, launch: str, way: signal.Signals) -> Outcome:
        """Interrupts a run at two to four random moments, lets it end, and compares it."""
        chance = random.Random(f"{self.seed}/{number}")
        expected, seconds = self.alone(recipe, 1 if launch == ONE else 2)
        outcome = Outcome(recipe, launch, way.name)
        out = self.folder / f"run-{number}"
        flags = flags_of(recipe, launch, out)
        moments = sorted(chance.random() for _ in range(chance.randint(2, 4)))
        for before, moment in itertools.pairwise([0.0, *moments]):
            training = Training(recipe, launch, flags, self.folder / f"{out.name}.log")
            early = chance.random() < EARLY and launch != TORCHRUN
            if early:
                time.sleep(chance.uniform(0.0, 0.3 if launch == ONE else 8.0))
            else:
                training.wait_until_begun()
                time.sleep((moment - before) * seconds)
            if not self._interrupt(training, way, chance, outcome, early=early):
                return outcome
            outcome.torn += torn(out)
            begin_anew = [*flags_of(recipe, launch, out), "--overwrite"]
            flags = [f"--out={out}", "--resume"] if RunFolder(out).resumable() else begin_anew
        training = Training(recipe, launch, flags, self.folder / f"{out.name}.log")
        if not training.wait_for_all(600) or training.code() != 0:
            outcome.failures.append(f"cannot resume: {training.own_messages()[-1500:]}")
            return outcome
        outcome.equal = result(out) == result(expected)
        outcome.wrong_rows = curve(out) != curve(expected)
        return outcome

    def _interrupt(
        self, training: Training, way: signal.Signals, chance: random.Random, outcome: Outcome, *, early: bool
    ) -> bool:
        """Sends a signal to a run and waits for its end. Returns whether all processes have ended."""
        pids = training.pids()
        if not pids:
            # It was faster than the run left alone.
            return True
        # Ctrl-C reaches all processes.
        chosen = pids if way == signal.SIGINT else chance.choice([pids, pids[:1], pids[-1:]])
        for pid in chosen:
            # It may have ended meanwhile.
            try:
                os.kill(pid, way)
            except ProcessLookupError:
                continue
        outcome.interrupts += 1
        whom = "all" if len(chosen) == len(pids) else f"number {pids.index(chosen[0])}"
        told = f"{way.name} to {whom}{' early' if early else ''}"
        if not training.wait_for_all(PATIENCE):
            outcome.failures.append(f"{told}: still running after {PATIENCE:g} s: {training.own_messages()[-1500:]}")
            for pid in training.pids():
                os.kill(pid, signal.SIGKILL)
            return False
        code = training.code()
        outcome.codes.append(-1 if code is None else code)
        # Python itself handles Ctrl-C before the command line is read; it ends a fork with 1.
        if code not in CODES[way] and not (early and way == signal.SIGINT and code == 1):
            outcome.failures.append(f"{told}: exit code {code}: {training.own_messages()[-1500:]}")
        # Python itself handles Ctrl-C also after the end of the command line.
        messages = training.own_messages()
        if "Traceback" in messages and "Exception ignored" not in messages and not early:
            outcome.failures.append(f"{told}: a traceback: {training.own_messages()[-3000:]}")
        return True


def flags_of(recipe: str, launch: str, out: Path) -> list[str]:
    """The flags of a run of a recipe that begins."""
    several = [] if launch == ONE else ["--trainer.devices=2", "--trainer.strategy=ddp"]
    return [f"--out={out}", *COMMON, *RECIPES[recipe], *several]


def torn(out: Path) -> int:
    """The number of checkpoints that cannot be read."""
    damaged = 0
    for path in (out / "checkpoints").glob("*.ckpt"):
        try:
            torch.load(path, weights_only=True)
        except Exception:
            damaged += 1
    return damaged


def result(out: Path) -> dict[str, object]:
    """All weights of the last and the best checkpoint, as bytes, and the scores."""
    found: dict[str, object] = json.loads((out / "metrics.json").read_text("utf-8"))["scores"]
    for name in ("last", "best"):
        checkpoint = torch.load(out / f"checkpoints/{name}.ckpt", weights_only=True)
        for part in ("state_dict", "current_model_state"):
            weights = checkpoint.get(part, {})
            found |= {f"{name}/{part}/{weight}": value.numpy().tobytes() for weight, value in weights.items()}
    return found


def curve(out: Path) -> list[dict[str, str]]:
    """The learning curve, without the times."""
    with (out / "learning-curve.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """The lines of a table with a row for each signal and each way to start processes."""
    yield "| signal | processes | interrupts | runs | bit-equal | torn checkpoints | curves that differ | exit codes |"
    yield "|---|---|---|---|---|---|---|---|"
    for way, launch in itertools.product(WAYS, (ONE, LIGHTNING, TORCHRUN)):
        cell = [each for each in outcomes if (each.way, each.launch) == (way.name, launch)]
        numbers = [
            sum(each.interrupts for each in cell),
            len(cell),
            sum(each.equal for each in cell),
            sum(each.torn for each in cell),
            sum(each.wrong_rows for each in cell),
        ]
        codes = Counter(code for each in cell for code in each.codes)
        told = ", ".join(f"{number} x {code}" for code, number in codes.most_common())
        yield f"| {way.name} | {launch} | {' | '.join(map(str, numbers))} | {told} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="how many interrupts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; by default they are deleted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = list(itertools.product(RECIPES, LAUNCHES, WAYS))
    random.Random(options.seed).shuffle(cells)
    started = time.perf_counter()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        interrupter = Interrupter(options.folder or Path(temporary), options.seed)
        interrupter.folder.mkdir(parents=True, exist_ok=True)
        while (done := sum(each.interrupts for each in outcomes)) < options.times:
            number = len(outcomes)
            outcomes.append(interrupter.run(number, *cells[number % len(cells)]))
            print(f"{done}/{options.times}: {outcomes[-1]}", file=sys.stderr, flush=True)
    print("\n".join(table(outcomes)))
    for failure in (failure for each in outcomes for failure in each.failures):
        print(failure)
    print(f"{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    main()
