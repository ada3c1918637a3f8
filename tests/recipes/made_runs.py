"""Folders of finished runs, made without a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.reports.examples import ScoredExample, write_examples

TAGS = ["NOUN", "VERB", "X"]
TAGGING = {"kind": "tagging", "labels": TAGS, "scheme": None}
STATISTICS = {
    "examples": 5, "tokens": 20, "lengths": [1, 2, 3, 4, 5, 9], "histogram": [3, 1, 1], "bar": 3, "unknown": 0.125,
    "labels": {"NOUN": 10, "VERB": 10}, "repeated": 1, "in_train": None,
}  # fmt: skip


def tagged_examples(size: int = 40, *, right: float = 0.8, seed: int = 0) -> list[ScoredExample]:
    """Sentences of the same words and gold tags for every seed, with random answers."""
    words, answers = np.random.default_rng(0), np.random.default_rng(seed)
    examples = []
    for row in range(size):
        length = int(words.integers(1, 8))
        gold = words.integers(3, size=length)
        found = np.where(answers.random(length) < right, gold, answers.integers(3, size=length))
        examples.append(
            ScoredExample(
                row,
                source=[f"word{i}" for i in range(length)],
                gold=[TAGS[i] for i in gold],
                predicted=[TAGS[i] for i in found],
                loss=float(answers.random()),
                tokens=length,
                details={"unknown": [0]},
            )
        )
    return examples


def made_run(folder: Path, examples: Sequence[ScoredExample], *, settings: str = "", **facts: Any) -> Path:
    """Makes the folder of a finished run of a tagger, with other facts if they are given."""
    folder.mkdir(parents=True)
    pairs = [pair for one in examples for pair in zip(one.gold or (), one.predicted or (), strict=False)]
    accuracy = sum(gold == found for gold, found in pairs) / max(1, len(pairs))
    known = {
        "scores": {"test/loss": 0.5, "test/accuracy": accuracy},
        "best_dev": {"val/accuracy": 0.75},
        "recipe": "pos_tagging",
        "split": "sample-en test",
        "task": TAGGING,
        "data": {"train": STATISTICS, "test": {**STATISTICS, "in_train": 2}},
        "epochs": 2.0,
        "train_seconds": 65.0,
        "command": "python -m recipes.pos_tagging",
        "versions": {"torch": "2.6"},
    }
    (folder / "config.yaml").write_text(f"model:\n  hidden_size: 8\ndata:\n  dataset: sample-en\n{settings}", "utf-8")
    (folder / "metrics.json").write_text(json.dumps({**known, **facts}), encoding="utf-8")
    curve = "epochs,val/loss,val/accuracy,train/loss,seconds,tokens\n1,0.9,0.5,1.5,30,100\n2,0.7,0.75,0.8,30,100\n"
    (folder / "learning-curve.csv").write_text(curve, encoding="utf-8")
    write_examples(examples, folder / "examples.jsonl")
    return folder
