"""Kills a search twice, continues it, and compares its best score with that of the recipe's defaults.

python benchmarks/search_kills.py                      20 trials on the bundled sample of English tags
python benchmarks/search_kills.py --trials 6           fewer of them

The search, and not its trials, gets SIGKILL at random moments. It is right if its trials end by themselves, if it has
all of its trials in the end and has lost none that was finished before a kill, and if a training with the best settings
gives the best score again, to the last bit.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from running import ENVIRONMENT, ROOT

RECIPE = "pos_tagging"
SPACE = """
recipe: pos_tagging
space:
  model.hidden_size: {int: [32, 128, 32]}
  model.dropout: {uniform: [0.0, 0.6]}
  model.regularization.token_dropout: {uniform: [0.0, 0.4]}
  model.optimizer.learning_rate: {log: [0.001, 0.05]}
  model.optimizer.warmup: {uniform: [0.0, 0.3]}
"""
FLAGS = [
    "--model.hidden_size=64", "--model.num_layers=1", "--model.embedding_size=64", "--model.characters.output_size=32",
    "--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.max_epochs=5", "--ema=0.9",
]  # fmt: skip
KILLS = 2
# Seconds in which the trials of a killed search must end.
PATIENCE = 60.0


def start(folder: Path, trials: int, jobs: int) -> subprocess.Popen[bytes]:
    """Starts the search, or continues it."""
    space = folder.parent / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    search = ["-m", "recipes.search", RECIPE, f"--space={space}", f"--out={folder}", f"--trials={trials}"]
    return subprocess.Popen(
        [sys.executable, *search, f"--jobs={jobs}", *FLAGS],
        cwd=ROOT,
        env=os.environ | ENVIRONMENT,
    )


def rows(folder: Path) -> list[dict[str, str]]:
    """The trials that are finished."""
    if not (folder / "trials.csv").exists():
        return []
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trials_running(folder: Path) -> int:
    """How many trials of a search are running."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # It may have ended meanwhile.
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        found += f"--out={folder}/trials/" in command
    return found


def kill(search: subprocess.Popen[bytes], folder: Path) -> tuple[int, float]:
    """Kills a search. Returns how many trials were running, and the seconds until they had ended."""
    running = trials_running(folder)
    search.send_signal(signal.SIGKILL)
    search.wait()
    killed = time.perf_counter()
    while trials_running(folder):
        if time.perf_counter() - killed > PATIENCE:
            raise SystemExit(f"trials of the killed search still run after {PATIENCE:g} seconds")
        time.sleep(0.1)
    return running, time.perf_counter() - killed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the search is kept; by default it is deleted")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute() / "search"
        folder.parent.mkdir(parents=True, exist_ok=True)
        moments = sorted(chance.sample(range(1, options.trials - 1), KILLS))
        print("| kill after | trials running | seconds until they ended |")
        print("|---|---|---|")
        for moment in moments:
            search = start(folder, options.trials, options.jobs)
            while len(rows(folder)) < moment:
                time.sleep(0.1)
            time.sleep(chance.uniform(0, 20))
            before = rows(folder)
            running, seconds = kill(search, folder)
            print(f"| {len(before)} trials | {running} | {seconds:.1f} |", flush=True)
        if start(folder, options.trials, options.jobs).wait():
            raise SystemExit("the search has failed")
        report(folder, options.trials, before)
        print(f"{time.perf_counter() - started:.0f} seconds")


def report(folder: Path, trials: int, before: list[dict[str, str]]) -> None:
    """Prints what the search has found, and trains with its best settings.

    Args:
        folder: the folder of the search.
        trials: how many trials it must have.
        before: the trials that were finished before the last kill.
    """
    found = rows(folder)
    (name,) = [column for column in found[0] if column.startswith("val/")]
    states = Counter(row["state"] for row in found)
    complete = [row for row in found if row["state"] == "complete"]
    best = max(complete, key=lambda row: float(row[name]))
    again = folder.parent / "again"
    subprocess.run(
        [sys.executable, "-m", f"recipes.{RECIPE}", "fit", f"--config={folder / 'best.yaml'}", f"--out={again}"],
        cwd=ROOT, env=os.environ | ENVIRONMENT, check=True, capture_output=True,
    )  # fmt: skip
    repeated = json.loads((again / "metrics.json").read_text("utf-8"))["best_dev"][name]
    print()
    print("| what | found |")
    print("|---|---|")
    print(f"| finished trials | {len(found)} of {trials}: {dict(states)} |")
    print(f"| finished before the last kill and kept | {sum(row in found for row in before)} of {len(before)} |")
    print(f"| {name} of the defaults | {float(found[0][name]):.5f} |")
    print(f"| {name} of the best, trial {best['trial']} | {float(best[name]):.5f} |")
    print(f"| {name} of a training with best.yaml | {repeated:.5f}, equal: {repeated == float(best[name])} |")


if __name__ == "__main__":
    main()
