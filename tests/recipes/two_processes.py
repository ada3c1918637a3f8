"""Trains on two processes, several recipes one after the other: Lightning starts this script again for the second.

python tests/recipes/two_processes.py '[["pos_tagging", "--out", "run"], ...]'

Afterwards it stops a training and resumes it, in the folders `WHOLE`, `STOPPED` and `RESUMED`. A training in `FULL`
runs out of disk space.
"""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from torch import distributed

from recipes import spam
from recipes.runner import training
from recipes.runner.cli import main
from zoo.models.classifier import TextClassifier

FLAGS = ["--trainer.accelerator=cpu", "--trainer.devices=2", "--trainer.strategy=ddp"]
SMALL = [
    "--model.hidden_size=4", "--model.embedding_size=4", "--model.dropout=0.3", "--data.tokenizer=words",
    "--data.max_tokens=100", "--trainer.precision=32-true", "--trainer.max_epochs=2",
    "--trainer.accumulate_grad_batches=3",
]  # fmt: skip
WHOLE, STOPPED, RESUMED, FULL = "whole", "stopped", "resumed", "full"
# A step in the middle of an epoch, and of accumulated batches.
STOP_AT = 5


@contextmanager
def watching(before: Callable[[TextClassifier], None] = lambda model: None) -> Iterator[list[list[int]]]:
    """Yields a list that gets the rows of each batch of the first epoch; calls `before` ahead of each step."""
    rows: list[list[int]] = []
    step = TextClassifier.training_step

    def watched(self, batch, *rest):
        if self.current_epoch == 0:
            rows.append(batch.rows.tolist())
        before(self)
        return step(self, batch, *rest)

    # No pictures are drawn, which take most of the time.
    with patch.object(TextClassifier, "training_step", watched), patch.object(training, "_report"):
        yield rows


def stop_and_resume() -> None:
    """Trains without an interrupt, and with one: a signal that the second process alone receives."""
    with watching():
        main(spam.RECIPE, ["fit", f"--out={WHOLE}", *SMALL, *FLAGS])

    def stop(model: TextClassifier) -> None:
        if len(rows) == STOP_AT and model.global_rank == 1:
            signal.raise_signal(signal.SIGTERM)

    with watching(stop) as rows:
        end_early(STOPPED, rows)
    if distributed.get_rank() == 0:
        shutil.copytree(STOPPED, RESUMED)
    with watching():
        main(spam.RECIPE, ["fit", f"--out={RESUMED}", "--resume"])


def fill_the_disk() -> None:
    """Trains until the first process can no longer write a file of the size of a checkpoint."""

    def fill(model: TextClassifier) -> None:
        if len(rows) == STOP_AT and model.global_rank == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    with watching(fill) as rows:
        end_early(FULL, rows, "--checkpoints.every_steps=1")


def end_early(out: str, rows: list[list[int]], *flags: str) -> None:
    """Runs a training that does not end well, and writes down how it ends on this process."""
    code: object = None
    try:
        main(spam.RECIPE, ["fit", f"--out={out}", *SMALL, *FLAGS, *flags])
    except SystemExit as end:
        code = end.code
    Path(f"{out}-{distributed.get_rank()}.json").write_text(json.dumps({"code": code, "rows": rows}))


if __name__ == "__main__":
    for recipe, *args in json.loads(sys.argv[1]):
        main(import_module(f"recipes.{recipe}").RECIPE, [*args, *FLAGS])
    stop_and_resume()
    # The last one, as the second process waits until the first one has ended.
    fill_the_disk()
