"""All cells on the same task: UPOS on UD English EWT, at equal parameters and equal epochs, with the POS recipe.

    ZOO_DATA=... python benchmarks/cells.py --epochs 3 > table.md          about 15 minutes on two cores

The backbone has one bidirectional layer. Each cell's hidden size is the multiple of 8 that brings the number of the
backbone's parameters nearest to that of an LSTM with 256 units. Everything else is the recipe's default, with seed 0.
In the last rows, the first two cells use torch's packed layers over the sentence; the character encoder is unchanged.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from zoo import CELLS, RecurrentBackbone

# The size of a token's inputs: 128 for its word and 200 for its characters.
INPUTS = 328
EVERY = ["fit", "--data.dataset", "ud-en-ewt", "--model.num_layers", "1", "--wandb", "disabled"]


def parameters(cell: str, hidden_size: int) -> int:
    return sum(p.numel() for p in RecurrentBackbone(INPUTS, hidden_size, cell=cell).parameters())


def hidden_size(cell: str, wanted: int) -> int:
    """The multiple of 8 that brings the backbone nearest to the wanted number of parameters."""
    # The number of parameters is quadratic in the hidden size, without a constant: two backbones determine it.
    small, large = parameters(cell, 8), parameters(cell, 16)
    square = (large - 2 * small) / (2 * 8**2)
    linear = small / 8 - square * 8
    return min(range(8, 4096, 8), key=lambda size: abs(square * size**2 + linear * size - wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    wanted = parameters("lstm", 256)
    runs: list[tuple[str, str, int, list[str]]] = [(cell, cell, hidden_size(cell, wanted), []) for cell in CELLS]
    runs += [(f"{cell}, packed", cell, size, ["--model.recurrent.kernel", "packed"]) for _, cell, size, _ in runs[:2]]
    print("| cell | H | parameters, backbone | dev accuracy | unknown words | training tokens/s | seconds |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, cell, size, more in track(runs, "training", console=Console(stderr=True)):
        facts = train([*EVERY, "--trainer.max_epochs", str(options.epochs)], cell, size, more)
        scores = facts["scores"]
        print(
            f"| {name} | {size} | {parameters(cell, size):,} | {100 * scores['val/accuracy']:.2f} "
            f"| {100 * scores['val/unknown_accuracy']:.2f} | {facts['train_tokens_per_second']:,} "
            f"| {facts['train_seconds']:.0f} |",
            flush=True,
        )
    print(
        f"\n{date.today()}, {facts['hardware']}, {facts['precision']}, torch {facts['versions']['torch']}; each row is"
    )
    print(
        f"`python -m recipes.pos_tagging {shlex.join(EVERY)} --trainer.max_epochs {options.epochs} --model.cell CELL`"
    )


def train(args: list[str], cell: str, size: int, more: list[str]) -> dict[str, Any]:
    """Runs the recipe as a user would, and returns the content of `metrics.json`."""
    with tempfile.TemporaryDirectory() as folder:
        sizes = ["--model.cell", cell, "--model.hidden_size", str(size), *more]
        command = [sys.executable, "-m", "recipes.pos_tagging", *args, *sizes, "--out", f"{folder}/run"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} failed:\n{done.stderr[-2000:]}")
        metrics: dict[str, Any] = json.loads((Path(folder) / "run" / "metrics.json").read_text("utf-8"))
        return metrics


if __name__ == "__main__":
    main()
