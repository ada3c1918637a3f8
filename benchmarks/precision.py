"""Dev scores of the POS recipe in three precisions, over several seeds.

ZOO_DATA=FOLDER python benchmarks/precision.py [--dataset ud-en-ewt] [--epochs 20] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PRECISIONS = ("32-true", "bf16-mixed", "bf16-true")


def dev_accuracy(folder: Path, dataset: str, epochs: int, precision: str, seed: int) -> float:
    """The best dev accuracy of one run, in percent."""
    out = folder / f"{precision}-{seed}"
    flags = [
        f"--data.dataset={dataset}", f"--trainer.max_epochs={epochs}", f"--trainer.precision={precision}",
        f"--seed_everything={seed}", "--trainer.accelerator=cpu", "--wandb=disabled", f"--out={out}",
    ]  # fmt: skip
    subprocess.run([sys.executable, "-m", "recipes.pos_tagging", "fit", *flags], check=True, stdout=subprocess.DEVNULL)
    facts = json.loads((out / "metrics.json").read_text("utf-8"))
    return 100 * float(facts["best_dev"]["val/accuracy"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="ud-en-ewt")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print("| precision | dev accuracy of each seed | mean |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            scores = [
                dev_accuracy(Path(folder), options.dataset, options.epochs, precision, seed)
                for seed in range(options.seeds)
            ]
            listed = ", ".join(f"{score:.2f}" for score in scores)
            print(f"| {precision} | {listed} | {statistics.mean(scores):.2f} |", flush=True)


if __name__ == "__main__":
    main()
