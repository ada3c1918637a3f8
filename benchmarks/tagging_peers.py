"""Speed and scores of part-of-speech tagging beside flair and spaCy: one run, the same files, taking turns.

flair and spaCy live in an environment of their own, which needs nothing of this project:

    python -m venv peers && peers/bin/pip install flair==0.15.1 spacy==3.8.18
    python benchmarks/tagging_peers.py --peers-python peers/bin/python > table.md

What is compared, on UD English EWT with its gold tokens, on the CPU:

* Training: ours in fp32 and in bf16 with a plain Lightning Trainer, and flair from scratch, with the same sizes, the
  same number of epochs and as many tokens a step (flair counts its batches in sentences). spaCy's tagger, smaller
  by design, trains for a fixed time instead. Each run is cut into rounds, and the systems train in turn.
* Tagging: the test file, again in turn. Ours composes each distinct word from its characters once and remembers it:
  "new words" is the first call of a freshly loaded tagger, "known words" the second one.

A ratio is the median over the rounds of ratios within a round. The accuracy is that of the very tags whose making
was timed. Loading data, building models and making the peers' sentence objects are on nobody's clock. On two cores
a run takes about 20 minutes; what else the machine does meanwhile will show.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import mean, median

from rich.console import Console

from datamodules.tagging import TaggingDataModule

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"word_size": 128, "character_size": 32, "character_output": 128, "hidden_size": 256, "num_layers": 1}
SAME_SIZES = "words 128, characters 32 to 2 x 64, BiLSTM 1 x 256"
FLAIR_BATCHES = (32, 128)  # sentences; the better one counts
console = Console(stderr=True)


class Worker:
    """A process with one of the systems, which computes only when it is its turn."""

    def __init__(self, name: str, python: str, module: str):
        self.name = name
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [python, "-m", f"benchmarks.peers.{module}"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def turn(self, **command) -> dict:
        """Sends a command and waits for the reply."""
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise SystemExit(f"the worker of {self.name} has ended: its error is above") from None

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Row:
    """A line of the table; speeds in tokens/s, one for each round."""

    system: str
    model: str
    trained: str
    training: list[float] = field(default_factory=list)
    tagging: list[float] = field(default_factory=list)
    accuracy: float = 0.0
