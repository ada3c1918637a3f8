"""Speed and BLEU of translation compared with JoeyNMT's recurrent model, in one run and on the same pieces.

JoeyNMT has an environment of its own, without the packages of this project. It runs with the current torch. It requires
an old protobuf and several linters, so its dependencies are listed here instead:

    python -m venv peers && peers/bin/pip install torch==2.13.0 tensorboard matplotlib sacrebleu sentencepiece \\
        subword-nmt importlib_metadata packaging pyyaml tqdm && peers/bin/pip install --no-deps joeynmt==2.3.0
    python benchmarks/seq2seq_peers.py --peers-python peers/bin/python > table.md

Both systems run the same model on multi30k and on the CPU: a bidirectional LSTM, multiplicative attention, an LSTM
decoder without input feeding, and one embedding for both languages. They use our pieces and their vocabulary.

* Training: our model in fp32 and in bf16, with a plain Lightning Trainer, and JoeyNMT. All have the same number of
  epochs and of pairs per step, and the same dropout, label smoothing and learning rate at each step. We use AdamW,
  JoeyNMT uses Adam. We group pairs of similar lengths, JoeyNMT does not. Each run is cut into rounds, in which the
  systems take turns.
* Decoding: the test file, greedily and with a beam of 5, also in turns. Our time is from text to text, JoeyNMT's from
  pieces to pieces with the faster of two batch sizes. The length penalty and the longest output are the same.

One part of the model differs: our decoder projects its state and context to the embedding size, and the embedding is
the output layer. JoeyNMT projects them to the decoder's size, so its output layer can be the embedding only if both
sizes are equal. Otherwise the output layer is a matrix of its own, which doubles the cost of its product.
`--embedding-size 512` makes both models equal.

A ratio is the median over the rounds of the ratio within a round. BLEU is sacrebleu's, cased, of the outputs that were
timed, joined from their pieces. Reading data, building models and scoring outputs are not timed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from peers.rounds import Job, ask_in_turn, markdown, ratio, report, speed, train_in_turn
from peers.turns import Worker
from rich.progress import Progress

from zoo.metrics.generation import bleu
from zoo.text.reversible import ReversibleTokenizer

WORKERS = Path(__file__).parent / "peers"
SIZES = {"encoder_size": 256, "decoder_size": 512, "dropout": 0.3, "label_smoothing": 0.1}
SIZES |= {"learning_rate": 2e-3, "warmup": 0.05}
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
BEAMS = (1, 5)
# Sentences in a batch of JoeyNMT's decoding. The table shows the faster one.
BATCHES = (32, 128)
JOEY = "JoeyNMT, fp32"


@dataclass
class Decoding:
    """The speed of each round in sentences/s, and the BLEU of the outputs."""

    speeds: list[float] = field(default_factory=list)
    bleu: float = 0.0


@dataclass
class Row:
    """A line of the table. `training` holds the speed of each round in target tokens/s."""

    system: str
    parameters: int
    training: list[float]
    decoding: dict[str, Decoding] = field(default_factory=lambda: {str(beam): Decoding() for beam in BEAMS})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers-python", required=True, help="the Python of an environment with JoeyNMT")
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument("--embedding-size", type=int, default=256, help="of all models (%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each training (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each system (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first pairs of each split, to try this script out")
    return parser.parse_args()


def start_workers(arguments: argparse.Namespace, scratch: Path) -> tuple[dict[str, Worker], dict[str, dict[str, Any]]]:
    """Starts a worker for each training run. Returns the workers and the facts that they report, by name."""
    common = {"epochs": arguments.epochs, "rounds": arguments.rounds}
    sizes = SIZES | {"embedding_size": arguments.embedding_size}
    same = {"pieces": str(scratch), "threads": arguments.threads}
    data = {"dataset": "multi30k", "root": arguments.data_root, "limit": arguments.limit}
    workers, facts = {}, {}
    for name, precision in PRECISIONS.items():
        ours = f"lstm-zoo, {name}"
        workers[ours] = Worker(sys.executable, WORKERS / "zoo_translator.py")
        training = common | {"sizes": sizes, "precision": precision, "folder": str(scratch / name)}
        facts[ours] = workers[ours].turn(**same, data=data, training=training)
    workers[JOEY] = Worker(arguments.peers_python, WORKERS / "joey_translator.py")
    training = common | {"batch": round(facts[ours]["pairs_per_step"])}
    facts[JOEY] = workers[JOEY].turn(**same, sizes=sizes, training=training)
    return workers, facts


def decode_in_turn(jobs: list[Job[Row]], corpus: dict[str, Any], rounds: int, progress: Progress) -> None:
    """Fills in the decodings of the jobs' rows. The first round is a warm-up and is not counted.

    `corpus` holds the references, their language and the sentencepiece model that joins pieces.
    """
    coder = ReversibleTokenizer("sentencepiece", corpus["source_pieces"])
    references = corpus["references"]
    for number, job, reply in ask_in_turn(jobs, rounds, "decoding", progress):
        for beam, row in job.rows.items():
            outputs, decoding = reply["outputs"][beam], row.decoding[beam]
            if row.system == JOEY:
                outputs = [coder.join(pieces.split(" ")) for pieces in outputs]
            decoding.bleu = bleu(outputs, references, corpus["language"])["bleu"]
            pace = len(references) / reply["seconds"][beam]
            if number:
                decoding.speeds.append(pace)
            progress.console.print(f"decoding {number}/{rounds}  {row.system:16} beam {beam} {pace:8,.1f} sentences/s")


def table(rows: list[Row], joey: Row) -> str:
    """The results in Markdown. A ratio is the median over the rounds of the ratio within a round."""
    head = ["system", "parameters", "training target tokens/s", "x JoeyNMT"]
    for beam in BEAMS:
        head += ["greedy sentences/s" if beam == 1 else f"beam {beam} sentences/s", "x JoeyNMT", "test BLEU"]
    lines = []
    for row in rows:
        line = [row.system, f"{row.parameters:,}", speed(row.training), ratio(row.training, joey.training)]
        for name, decoding in row.decoding.items():
            line += [speed(decoding.speeds), ratio(decoding.speeds, joey.decoding[name].speeds)]
            line += [f"{100 * decoding.bleu:.2f}"]
        lines.append(line)
    return markdown(head, 1, lines)


def compare(arguments: argparse.Namespace, scratch: Path, progress: Progress) -> str:
    """Starts the workers, lets them train and decode in turn, and returns the report."""
    progress.console.print("starting the workers")
    workers, facts = start_workers(arguments, scratch)
    speeds = train_in_turn(workers, arguments.rounds, "target tokens", progress)

    rows = {name: Row(name, facts[name]["parameters"], speeds[name]) for name in workers}
    commands: dict[str, dict[str, Any]] = {
        f"lstm-zoo, {name}": {"folder": str(scratch / name), "precision": precision}
        for name, precision in PRECISIONS.items()
    }
    commands[JOEY] = {"batches": BATCHES}
    jobs = [
        Job(workers[name], {"beams": BEAMS, **commands[name]}, dict.fromkeys(row.decoding, row))
        for name, row in rows.items()
    ]
    corpus = facts["lstm-zoo, fp32"]
    decode_in_turn(jobs, corpus, arguments.rounds, progress)

    sizes = (
        f"embedding {arguments.embedding_size}, encoder 2 x {SIZES['encoder_size']}, decoder {SIZES['decoder_size']}"
    )
    circumstances = (
        f"{corpus['lstm_zoo']}, {facts[JOEY]['joeynmt']}; multi30k, {corpus['training_pairs']:,} training pairs, "
        f"{round(corpus['pairs_per_step'])} a step, {arguments.epochs} epochs, {arguments.threads} threads; {sizes}"
    )
    return f"{circumstances}\n\n{table(list(rows.values()), rows[JOEY])}"


if __name__ == "__main__":
    report(partial(compare, parse_arguments()))
