"""Speed and scores of text classification compared with the PyTorch tutorial's model and Keras, in one run.

Keras has an environment of its own, without the packages of this project:

    python -m venv peers && peers/bin/pip install torch==2.13.0 keras==3.15.1
    python benchmarks/classification_peers.py --peers-python peers/bin/python > table.md

All systems run the same model on the CPU: an embedding, a bidirectional LSTM, its final states and a linear layer. They
read the same texts with the same tokens and vocabulary.

* Training: our model in fp32 and in bf16, with a plain Lightning Trainer and in a loop like the tutorial's; the
  tutorial's model on packed batches; Keras on torch. All have the same sizes, number of epochs and texts per step.
  Each run is cut into rounds, in which the systems take turns. Keras loops over time steps and is slow:
  `--keras-seconds` limits the time of its training.
* Inference: the test file, also in turns. Our time includes tokenization, the others get ids.
* A limit: torch's LSTM alone, on batches like ours, without any other layer, loss or optimizer.

A ratio is the median over the rounds of the ratio within a round. The accuracy is that of the predictions that were
timed. Reading data and building models are not timed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from peers.rounds import Job, ask_in_turn, markdown, ratio, report, speed, train_in_turn
from peers.turns import Worker
from rich.progress import Progress

WORKERS = Path(__file__).parent / "peers"
SIZES = {"embedding_size": 200, "hidden_size": 200, "num_layers": 1, "dropout": 0.5}
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
# Texts in a batch of the other systems' inference. The table shows the faster one.
BATCHES = (32, 128)
# SST-2 is published as tokens.
TOKENIZERS = {"sst2": "whitespace", "shopping-zh": "characters"}


@dataclass
class Row:
    """A line of the table. `training` and `inference` hold a speed in texts/s for each round."""

    system: str
    trained: str
    training: list[float]
    inference: list[float] = field(default_factory=list)
    accuracy: float = 0.0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers-python", required=True, help="the Python of an environment with Keras and torch")
    parser.add_argument("--dataset", default="sst2", choices=TOKENIZERS, help="(%(default)s)")
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument(
        "--max-length", type=int, default=400, help="longer texts are cut to so many tokens (%(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each training (%(default)s)")
    parser.add_argument("--keras-seconds", type=float, help="train Keras for so many seconds instead of --epochs")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each system (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (%(default)s)")
    parser.add_argument("--limit", type=int, help="only about so many texts of each file, to try this script out")
    return parser.parse_args()


def start_workers(arguments: argparse.Namespace, scratch: Path) -> tuple[dict[str, Worker], dict[str, Any]]:
    """Starts a worker for each training run. Returns the workers by name, and facts about the runs."""
    common = {"epochs": arguments.epochs, "rounds": arguments.rounds}
    workers: dict[str, Worker] = {}
    facts: dict[str, Any] = {}
    data = {"dataset": arguments.dataset, "root": arguments.data_root, "limit": arguments.limit}
    data |= {"tokenizer": TOKENIZERS[arguments.dataset], "max_length": arguments.max_length}
    ours = {"data": data, "threads": arguments.threads}
    for name, precision in PRECISIONS.items():
        # The other systems pool by the last states too, and have no token dropout.
        sizes = SIZES | {"pooling": "last", "regularization": {}}
        training = common | {"sizes": sizes, "precision": precision}
        workers[f"lstm-zoo {name}"] = Worker(sys.executable, WORKERS / "zoo_classifier.py")
        with_trainer = training | {"folder": str(scratch / name)}
        facts |= workers[f"lstm-zoo {name}"].turn(**ours, trainer=True, training=with_trainer)
        workers[f"plain loop {name}"] = Worker(sys.executable, WORKERS / "zoo_classifier.py")
        workers[f"plain loop {name}"].turn(**ours, trainer=False, training=training)
    same = {"corpus": facts["corpus"], "words": facts["words"], "labels": facts["labels"], "sizes": SIZES}
    same |= {"threads": arguments.threads}
    training = common | {"batch": round(facts["texts_per_step"])}
    workers["PyTorch tutorial"] = Worker(sys.executable, WORKERS / "torch_classifier.py")
    facts |= workers["PyTorch tutorial"].turn(**same, training=training)
    for name, precision in PRECISIONS.items():
        workers[f"LSTM alone {name}"] = Worker(sys.executable, WORKERS / "lstm_alone.py")
        alone = same | common | {"precision": precision, "tokens_per_step": facts["tokens_per_step"]}
        workers[f"LSTM alone {name}"].turn(**alone)
    workers["Keras"] = Worker(arguments.peers_python, WORKERS / "keras_classifier.py")
    facts |= workers["Keras"].turn(**same, training=training | {"seconds": arguments.keras_seconds})
    return workers, facts


def classify_in_turn(jobs: list[Job[Row]], gold: list[int], rounds: int, progress: Progress) -> None:
    """Fills in `inference` and `accuracy` of the jobs' rows. The first round is a warm-up and is not counted."""
    for number, job, reply in ask_in_turn(jobs, rounds, "inference", progress):
        for key, row in job.rows.items():
            if reply["labels"]:
                row.accuracy = sum(a == b for a, b in zip(reply["labels"], gold, strict=True)) / len(gold)
            if number:
                row.inference.append(len(gold) / reply["seconds"][key])
        progress.console.print(f"inference {number}/{rounds}  {row.system:40} {100 * row.accuracy:.2f}")


def table(rows: list[Row], tutorial: Row, keras: Row) -> str:
    """The results in Markdown. A ratio is the median over the rounds of the ratio within a round."""
    head = ["system", "trained", "training texts/s", "x tutorial", "x Keras"]
    head += ["inference texts/s", "x tutorial", "x Keras", "test accuracy"]
    lines = [
        [
            row.system,
            row.trained,
            speed(row.training),
            ratio(row.training, tutorial.training),
            ratio(row.training, keras.training),
            speed(row.inference),
            ratio(row.inference, tutorial.inference),
            ratio(row.inference, keras.inference),
            f"{100 * row.accuracy:.2f}" if row.accuracy else "",
        ]
        for row in rows
    ]
    return markdown(head, 2, lines)


def compare(arguments: argparse.Namespace, scratch: Path, progress: Progress) -> str:
    """Starts the workers, lets them train and classify in turn, and returns the report."""
    progress.console.print("starting the workers")
    workers, facts = start_workers(arguments, scratch)
    speeds = train_in_turn(workers, arguments.rounds, "texts", progress)

    epochs = f"{arguments.epochs} epochs"
    keras_trained = f"{arguments.keras_seconds:g} s" if arguments.keras_seconds else epochs
    jobs = []
    for name, precision in PRECISIONS.items():
        row = Row(f"lstm-zoo, {name}", epochs, speeds[f"lstm-zoo {name}"])
        command = {"folder": str(scratch / name), "precision": precision}
        jobs.append(Job(workers[f"lstm-zoo {name}"], command, {"": row}))
    for name in PRECISIONS:
        row = Row(f"torch's LSTM alone, {name}", "", speeds[f"LSTM alone {name}"])
        jobs.append(Job(workers[f"LSTM alone {name}"], {}, {"": row}))
    for name, trained in (("PyTorch tutorial", epochs), ("Keras", keras_trained)):
        rows = {str(batch): Row(f"{name}, batches of {batch}", trained, speeds[name]) for batch in BATCHES}
        jobs.append(Job(workers[name], {"batches": BATCHES}, rows))
    classify_in_turn(jobs, facts["corpus"]["test"]["labels"], arguments.rounds, progress)

    best = [max(job.rows.values(), key=lambda row: median(row.inference)) for job in jobs]
    loops = [Row(f"lstm-zoo in a plain loop, {name}", epochs, speeds[f"plain loop {name}"]) for name in PRECISIONS]
    lines = [*best[: len(PRECISIONS)], *loops, *best[len(PRECISIONS) :]]
    sizes = f"embedding {SIZES['embedding_size']}, bidirectional LSTM {SIZES['num_layers']} x {SIZES['hidden_size']}"
    texts = f"{len(facts['corpus']['train']['texts']):,} training texts"
    versions = f"{facts['lstm_zoo']}, {facts['torch']}, {facts['keras']}"
    circumstances = f"{versions}; {arguments.dataset}, {texts}, {round(facts['texts_per_step'])} a step; {sizes}"
    return f"{circumstances}\n\n{table(lines, *lines[-2:])}"


if __name__ == "__main__":
    report(partial(compare, parse_arguments()))
