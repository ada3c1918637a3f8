"""Speed and scores of part-of-speech tagging compared with flair and spaCy, in one run and on the same files.

flair and spaCy have an environment of their own, without the packages of this project:

    python -m venv peers && peers/bin/pip install flair==0.15.1 spacy==3.8.18
    python benchmarks/tagging_peers.py --peers-python peers/bin/python > table.md

All systems run on the CPU and read UD English EWT with its gold tokens.

* Training: our tagger in fp32 and in bf16, with a plain Lightning Trainer, and flair from scratch, with the same sizes,
  number of epochs and tokens per step (a batch of flair has a number of sentences). spaCy's tagger is smaller by design
  and trains for a fixed time. Each run is cut into rounds, in which the systems take turns.
* Tagging: the test file, also in turns. Our tagger encodes the characters of each distinct word once and caches the
  result: "new words" is the first call of a freshly loaded tagger, "known words" the second one.

A ratio is the median over the rounds of the ratio within a round. The accuracy is that of the tags that were timed.
Reading data, building models and making the peers' sentence objects are not timed. On two idle cores a run takes about
20 minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peers.rounds import Job, ask_in_turn, markdown, ratio, report, speed, train_in_turn
from peers.turns import Worker
from rich.progress import Progress

from datamodules.corpus_files import SPLITS
from datamodules.tagging import TaggingDataModule
from zoo.hub.pretrained import from_pretrained

WORKERS = Path(__file__).parent / "peers"
SIZES = {"word_size": 128, "character_size": 32, "character_output": 128, "character_encoder": "lstm"}
SIZES |= {"cell": "lstm", "hidden_size": 256, "num_layers": 1}
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
# Sentences in a batch of flair's tagging. The table shows the faster one.
FLAIR_BATCHES = (32, 128)


@dataclass
class Row:
    """A line of the table. `training` and `tagging` hold a speed in tokens/s for each round."""

    system: str
    model: str
    trained: str
    training: list[float] = field(default_factory=list)
    tagging: list[float] = field(default_factory=list)
    accuracy: float = 0.0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers-python", required=True, help="the Python of an environment with flair and spaCy")
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument("--ours", default="pos-en-ewt", help="our pretrained tagger: a name or a folder (%(default)s)")
    parser.add_argument(
        "--flair-epochs", type=int, default=3, help="epochs of flair's training and of ours (%(default)s)"
    )
    parser.add_argument("--spacy-seconds", type=float, default=420, help="length of spaCy's training (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each system (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch; spaCy has one (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first sentences of each file, to try this script out")
    return parser.parse_args()


def tag_in_turn(jobs: list[Job[Row]], gold: list[list[str]], rounds: int, progress: Progress) -> None:
    """Fills in `tagging` and `accuracy` of the jobs' rows. The first round is a warm-up and is not counted."""
    tokens = sum(len(tags) for tags in gold)
    for number, job, reply in ask_in_turn(jobs, rounds, "tagging", progress):
        for key, row in job.rows.items():
            speed = tokens / reply["seconds"][key]
            row.accuracy = accuracy(reply["tags"], gold)
            if number:
                row.tagging.append(speed)
            progress.console.print(f"tagging {number}/{rounds}  {row.system:44} {speed:8,.0f} tokens/s")


def accuracy(found: list[list[str]], gold: list[list[str]]) -> float:
    pairs = [pair for a, b in zip(found, gold, strict=True) for pair in zip(a, b, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)


def describe(sizes: Mapping[str, Any]) -> str:
    """The sizes of one of our taggers, as the table shows them."""
    return (
        f"words {sizes['word_size']}, characters {sizes['character_size']} to {sizes['character_output']} "
        f"({sizes['character_encoder']}), "
        f"bidirectional {sizes['cell']} {sizes['num_layers']} x {sizes['hidden_size']}"
    )


def table(rows: list[Row], flair: Row, spacy: Row) -> str:
    """The results in Markdown. A ratio is the median over the rounds of the ratio within a round."""
    head = ["system", "model", "trained", "training tokens/s", "x flair"]
    head += ["tagging tokens/s", "x flair", "x spaCy", "test accuracy"]
    lines = [
        [
            row.system,
            row.model,
            row.trained,
            speed(row.training),
            ratio(row.training, flair.training),
            speed(row.tagging),
            ratio(row.tagging, flair.tagging),
            ratio(row.tagging, spacy.tagging),
            f"{100 * row.accuracy:.2f}",
        ]
        for row in rows
    ]
    return markdown(head, 3, lines)


def start_workers(
    arguments: argparse.Namespace, corpus: Mapping[str, object], scratch: Path
) -> tuple[dict[str, Worker], dict[str, Any]]:
    """Starts a worker for each training run. Returns the workers by name, and facts about the runs."""
    common = {"epochs": arguments.flair_epochs, "rounds": arguments.rounds}
    workers: dict[str, Worker] = {}
    facts: dict[str, Any] = {}
    for name, precision in PRECISIONS.items():
        workers[f"lstm-zoo {name}"] = Worker(sys.executable, WORKERS / "zoo_tagger.py")
        facts |= workers[f"lstm-zoo {name}"].turn(
            data={"root": arguments.data_root, "limit": arguments.limit},
            threads=arguments.threads,
            training=common | {"sizes": SIZES, "precision": precision, "folder": str(scratch / name)},
        )
    workers["flair"] = Worker(arguments.peers_python, WORKERS / "flair_tagger.py")
    training = common | {"batch": round(facts["sentences_per_step"])}
    facts |= workers["flair"].turn(corpus=corpus, sizes=SIZES, threads=arguments.threads, training=training)
    workers["spaCy"] = Worker(arguments.peers_python, WORKERS / "spacy_tagger.py")
    training = {"seconds": arguments.spacy_seconds, "rounds": arguments.rounds}
    facts |= workers["spaCy"].turn(corpus=corpus, training=training)
    return workers, facts


def compare(arguments: argparse.Namespace, scratch: Path, progress: Progress) -> str:
    """Starts the workers, lets them train and tag in turn, and returns the report."""
    other, name = describe(from_pretrained(arguments.ours).settings), Path(arguments.ours).name
    data = TaggingDataModule("ud-en-ewt", root=arguments.data_root)
    corpus = {split: [(s.tokens, s.tags) for s in data.sentences(split)[: arguments.limit]] for split in SPLITS}
    progress.console.print("starting the workers")
    workers, facts = start_workers(arguments, corpus, scratch)
    speeds = train_in_turn(workers, arguments.rounds, "tokens", progress)

    same, epochs = describe(SIZES), f"{arguments.flair_epochs} epochs"
    # Each of our workers can load any of our models.
    tagger = workers["lstm-zoo fp32"]

    def job(precision: str, threads: int, folder: str, model: str, trained: str, training: list[float]) -> Job[Row]:
        title = f"lstm-zoo, {precision}{', 1 thread' if threads == 1 else ''}"
        rows = {words: Row(f"{title}, {words} words", model, trained, training) for words in ("new", "known")}
        return Job(tagger, {"folder": folder, "precision": PRECISIONS[precision], "threads": threads}, rows)

    threads = arguments.threads
    same_sizes = [job(p, threads, str(scratch / p), same, epochs, speeds[f"lstm-zoo {p}"]) for p in PRECISIONS]
    pretrained = [job(p, t, arguments.ours, other, name, []) for t in sorted({threads, 1})[::-1] for p in PRECISIONS]
    flair_rows = {str(b): Row(f"flair, batches of {b}", same, epochs, speeds["flair"]) for b in FLAIR_BATCHES}
    flair = Job(workers["flair"], {"batches": FLAIR_BATCHES}, flair_rows)
    spacy_row = Row("spaCy, 1 thread", "tok2vec, efficiency", f"{arguments.spacy_seconds:g} s", speeds["spaCy"])
    spacy = Job(workers["spaCy"], {}, {"pipe": spacy_row})
    gold = [list(tags) for _, tags in corpus["test"]]
    tag_in_turn([*same_sizes, flair, *pretrained, spacy], gold, arguments.rounds, progress)

    best_flair = max(flair_rows.values(), key=lambda row: median(row.tagging))
    ours = [row for job in (*same_sizes, *pretrained) for row in job.rows.values()]
    versions = f"{facts['lstm_zoo']}, {facts['flair']}, {facts['spacy']}"
    return f"{versions}\n\n{table([*ours, best_flair, spacy_row], best_flair, spacy_row)}"


if __name__ == "__main__":
    report(partial(compare, parse_arguments()))
