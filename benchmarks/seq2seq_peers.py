"""Speed and BLEU of translation beside JoeyNMT's recurrent model: one run, the same pieces, taking turns.

JoeyNMT lives in an environment of its own, which needs nothing of this project. It runs with today's torch, but pins
an old protobuf and brings linters, so its dependencies are picked by hand:

    python -m venv peers && peers/bin/pip install torch==2.13.0 tensorboard matplotlib sacrebleu sentencepiece \\
        subword-nmt importlib_metadata packaging pyyaml tqdm && peers/bin/pip install --no-deps joeynmt==2.3.0
    python benchmarks/seq2seq_peers.py --peers-python peers/bin/python > table.md

What is compared, on multi30k and on the CPU, is one model: a bidirectional LSTM, multiplicative attention, an LSTM
decoder without input feeding, and one embedding for both sides; with our pieces and their vocabulary.

* Training: ours in fp32 and in bf16, with a plain Lightning Trainer, and JoeyNMT. All with the same number of epochs,
  as many pairs a step, the same dropout, label smoothing and learning rate at each step; ours with AdamW, JoeyNMT
  with Adam. Ours groups pairs of like lengths, JoeyNMT has no such thing. The runs are cut into rounds and take turns.
* Decoding: the test file, greedily and with a beam of 5, again in turns. Ours goes from text to text on its clock,
  JoeyNMT from pieces to pieces, at the fastest of two batch sizes. Both have one length penalty and longest output.

One thing differs: our decoder combines what it knows into a vector of the embedding's size and scores words by the
embedding. JoeyNMT's vector has the decoder's size, so its output layer can be the embedding only where both sizes are
one; else it has a matrix of its own, and twice as much to multiply. `--embedding-size 512` makes them alike.

A ratio is the median over the rounds of the ratios within them. BLEU is sacrebleu's, cased, of the very texts whose
making was timed, joined from their pieces. Nobody's clock runs while data are read, models built and outputs scored.
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
BATCHES = (32, 128)  # of JoeyNMT's decoding, in sentences
JOEY = "JoeyNMT, fp32"


@dataclass
class Decoding:
    """Sentences/s, one for each round, and the BLEU of what was written."""

    speeds: list[float] = field(default_factory=list)
    bleu: float = 0.0


@dataclass
class Row:
    """A line of the table; training is in target tokens/s, one for each round."""

    system: str
    parameters: int
    training: list[float]
    decoding: dict[str, Decoding] = field(default_factory=lambda: {str(beam): Decoding() for beam in BEAMS})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers-python", required=True, help="the Python of an environment with JoeyNMT")
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument("--embedding-size", type=int, default=256, help="of all (%(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of all trainings (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each system (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of torch (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first pairs of each split, to try this script out")
    return parser.parse_args()


def start_workers(arguments: argparse.Namespace, scratch: Path) -> tuple[dict[str, Worker], dict[str, dict[str, Any]]]:
    """The worker of each training run and the facts that it reports, by name."""
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
    """Fills in the decodings, after a round that does not count; `corpus` has references and how pieces are joined."""
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
    """Markdown; a ratio is the median over the rounds of the ratios within them."""
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
