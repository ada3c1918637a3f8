"""Flags, files and helpers for tests that train small models."""

from __future__ import annotations

import csv
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from command_line import Process

TINY = [
    "--model.hidden_size=8", "--model.embedding_size=8", "--model.characters.output_size=8", "--model.num_layers=1",
    "--trainer.precision=32-true", "--trainer.accelerator=cpu",
]  # fmt: skip


FAST = [*TINY, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
# A file that a training makes when it waits.
WAITS = "waits"


def last_checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def rows_of(checkpoint: dict) -> list[dict]:
    """The learning curve without the times."""
    return [{name: row[name] for name in row if name != "seconds"} for row in checkpoint["recorder"]["rows"]]


def assert_same(folder: Path, other: Path) -> None:
    """Asserts that two trainings have ended with the same weights, learning curves and positions, bit for bit."""
    ours, theirs = last_checkpoint(folder), last_checkpoint(other)
    assert rows_of(ours) == rows_of(theirs) and ours["global_step"] == theirs["global_step"]
    assert ours["loops"] == theirs["loops"] and ours["logged_steps"] == theirs["logged_steps"]
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, theirs[part][name]) for name, value in ours[part].items()), part
    tables = [list(csv.DictReader((path / "learning-curve.csv").open())) for path in (folder, other)]
    assert len(tables[0]) == len(tables[1]) == len(rows_of(ours))


def waiting(training_step: Callable, steps: int) -> Callable:
    """A training step that after so many steps makes the file `waits`, and waits until somebody deletes it."""
    left = steps

    def step(self: object, *args: object) -> object:
        nonlocal left
        if left == 0:
            Path(WAITS).touch()
            while Path(WAITS).exists():
                time.sleep(0.01)
        left -= 1
        return training_step(self, *args)

    return step


def interrupt(process: Process, cwd: Path) -> list[str]:
    """Sends Ctrl-C to a run in the folder `stopped` of `cwd` that is `waiting` in the middle of an epoch.

    Returns:
        The arguments that, as the run says, resume it.
    """
    while not (cwd / WAITS).exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    (cwd / WAITS).unlink(missing_ok=True)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-2000:]
    epoch = last_checkpoint(cwd / "stopped")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert epoch["current"]["completed"] > 0
    _, *arguments = shlex.split(errors.strip().splitlines()[-1])
    assert arguments[0] == "-m" and arguments[2:] == ["--out", "stopped", "--resume"]
    return arguments[2:]


def own_files(folder: Path, positive: str = "good") -> list[str]:
    """Flags that name files of one's own for all three splits."""
    rows = [(positive, "a fine film"), ("bad", "a dull film"), (positive, "fine"), ("bad", "so dull")] * 5
    content = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(content, encoding="utf-8")
    return [f"--data.{split}={folder / split}.tsv" for split in ("train", "dev", "test")]


SMALL = ["--model.hidden_size=8", "--model.embedding_size=8", *TINY[-2:]]
FAST_SPAM = [*SMALL, "--data.tokenizer=words", "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
