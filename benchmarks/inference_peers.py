"""Tagging with loaded models: our part-of-speech tagger beside flair, stanza and spaCy, in one run on the same file.

The peers have an environment of their own, without the packages of this project:

    python -m venv peers && peers/bin/pip install flair==0.15.1 spacy==3.8.18 stanza==1.15.0
    python benchmarks/inference_peers.py --peers-python peers/bin/python > table.md

No pretrained model of a peer is fetched. Each trains on UD English EWT for about the same few minutes, without imported
vectors or language models, and is saved: flair as in `tagging_peers.py`; spaCy for `--seconds` with the settings of
`spacy init config --optimize efficiency`; stanza by its own command with `--no_pretrain`, which is stopped after
`--seconds` (the model that is best on dev stays). So the scores say what a few minutes bring, and not what the systems
can do: the published models of the peers read vectors or language models, and are larger and slower.

Then each model is loaded by a fresh process, and these take turns with the gold tokens of the test file:

* tokens/s: the median over the rounds, first round left out. Our tagger keeps the vectors of words that it has read, so
  "new words" is a fresh process in each round, and "known words" are its later calls.
* MB in memory: the largest resident set of the process that has loaded the model and tagged the file, with libraries.
* MB on disk: the files of the saved model.
* ready, s: from the start of the process to the loaded model, imports included.

On two idle cores a run takes about 25 minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from peers.rounds import markdown, report, speed, train_in_turn
from peers.turns import Worker
from rich.progress import Progress
from tagging_peers import SIZES, accuracy

from datamodules.corpus_files import SPLITS
from datamodules.tagging import TaggingDataModule
from zoo.hub.pretrained import card
from zoo.hub.sources import BUNDLED

WORKERS = Path(__file__).parent / "peers"
# Prints the versions of the peers; it runs in their environment.
VERSIONS = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("flair", "stanza", "spacy", "torch")), sep=", ")
"""
# Sentences of a training step.
FLAIR_BATCH = 32
STANZA_BATCH = 32
# Training steps of stanza between two scores on dev, each of which may save a model.
STANZA_STEPS = 50
Corpus = dict[str, list[tuple[list[str], list[str]]]]


@dataclass
class Model:
    """A saved model, and what was measured of it. `speeds` holds tokens/s of each round.

    Attributes:
        arguments: of the loader in `peers/loaded_tagger.py`.
        disk: the files of the model.
        fresh: whether a new process serves each round.
    """

    system: str
    title: str
    python: str
    arguments: dict[str, Any]
    disk: Path
    trained: str
    fresh: bool = False
    speeds: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    memory: float = 0.0
    ready: list[float] = field(default_factory=list)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--peers-python", required=True, help="the Python of an environment with the peers")
    parser.add_argument("--data-root", help="the folder of the corpora (default: $ZOO_DATA, else the user's cache)")
    parser.add_argument("--ours", default="pos-en-ewt", help="the name of our bundled tagger (%(default)s)")
    parser.add_argument("--seconds", type=float, default=300, help="training of spaCy and stanza (%(default)s)")
    parser.add_argument("--flair-epochs", type=int, default=3, help="training of flair (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each system (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch; spaCy has one (%(default)s)")
    parser.add_argument("--limit", type=int, help="only the first sentences of each file, to try this script out")
    return parser.parse_args()


def train_worker(python: str, script: str, saved: Path, progress: Progress, **settings: Any) -> str:
    """Trains flair or spaCy and saves the model. Returns how long it trained."""
    with closing(Worker(python, WORKERS / script)) as worker:
        worker.turn(**settings)
        started = perf_counter()
        train_in_turn({script: worker}, 1, "tokens", progress)
        minutes = (perf_counter() - started) / 60
        worker.turn(save=str(saved))
    return f"{minutes:.1f} min"


def train_stanza(python: str, corpus: Corpus, folder: Path, seconds: float, threads: int) -> str:
    """Trains stanza's tagger with its own command and stops it. The model that is best on dev stays in the folder."""
    for split in ("train", "dev"):
        write_conllu(folder / f"{split}.conllu", corpus[split])
    # Without this list of downloadable models, which is empty here, stanza loads no model at all.
    (folder / "resources.json").write_text("{}", "utf-8")
    command = [python, "-m", "stanza.models.tagger", "--lang", "en", "--shorthand", "en_ewt", "--no_pretrain", "--cpu"]
    command += ["--train_file", str(folder / "train.conllu"), "--eval_file", str(folder / "dev.conllu")]
    command += ["--save_dir", str(folder), "--save_name", "tagger.pt", "--batch_size", str(STANZA_BATCH)]
    command += ["--eval_interval", str(STANZA_STEPS), "--fix_eval_interval"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    try:
        subprocess.run(command, env=environment, stdout=sys.stderr, timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        if not (folder / "tagger.pt").exists():
            raise SystemExit(f"stanza saved no model within {seconds:g} s: give it more --seconds") from None
    return f"{seconds / 60:.1f} min"


def write_conllu(path: Path, sentences: list[tuple[list[str], list[str]]]) -> None:
    """Writes words and their tags. The other columns are empty, except the heads, which stanza's reader asks for."""
    with path.open("w", encoding="utf-8") as file:
        for tokens, tags in sentences:
            for number, (token, tag) in enumerate(zip(tokens, tags, strict=True), start=1):
                head, relation = (0, "root") if number == 1 else (1, "dep")
                file.write(f"{number}\t{token}\t_\t{tag}\t_\t_\t{head}\t{relation}\t_\t_\n")
            file.write("\n")


def train_peers(arguments: argparse.Namespace, corpus: Corpus, scratch: Path, progress: Progress) -> list[Model]:
    """The trained and saved models of the peers."""
    python = arguments.peers_python
    threads = arguments.threads
    models = []

    progress.console.print("training flair")
    saved = scratch / "flair.pt"
    training = {"epochs": arguments.flair_epochs, "batch": FLAIR_BATCH, "rounds": 1}
    settings = {"corpus": corpus, "sizes": SIZES, "threads": threads, "training": training}
    trained = train_worker(python, "flair_tagger.py", saved, progress, **settings)
    models.append(Model("flair", "flair", python, {"model": str(saved), "threads": threads}, saved, trained))

    progress.console.print("training stanza")
    folder = scratch / "stanza"
    folder.mkdir()
    trained = train_stanza(python, corpus, folder, arguments.seconds, threads)
    saved = folder / "tagger.pt"
    models.append(Model("stanza", "stanza", python, {"model": str(saved), "threads": threads}, saved, trained))

    progress.console.print("training spaCy")
    saved = scratch / "spacy"
    training = {"seconds": arguments.seconds, "rounds": 1}
    trained = train_worker(python, "spacy_tagger.py", saved, progress, corpus=corpus, training=training)
    models.append(Model("spaCy", "spaCy tok2vec, 1 thread", python, {"model": str(saved)}, saved, trained))
    return models


def our_models(arguments: argparse.Namespace) -> list[Model]:
    """Our bundled tagger in two precisions, each with new and with known words."""
    name = arguments.ours
    trained = f"{card(name)['minutes']:.1f} min"
    models = []
    for precision in ("fp32", "bf16"):
        for words in ("new", "known"):
            loaded = {"model": name, "threads": arguments.threads, "precision": precision}
            title = f"lstm-zoo {name}, {precision}, {words} words"
            fresh = words == "new"
            models.append(Model("lstm-zoo", title, sys.executable, loaded, BUNDLED / name, trained, fresh=fresh))
    return models


def started(model: Model) -> Worker:
    """A process that has loaded the model. Adds the seconds that it took."""
    start = perf_counter()
    worker = Worker(model.python, WORKERS / "loaded_tagger.py")
    worker.turn(system=model.system, arguments=model.arguments)
    model.ready.append(perf_counter() - start)
    return worker


def tag_in_turn(models: list[Model], corpus: Corpus, rounds: int, progress: Progress) -> None:
    """Fills in what is measured of the models. The first round is a warm-up: its speed is not counted."""
    sentences = [tokens for tokens, _ in corpus["test"]]
    gold = [tags for _, tags in corpus["test"]]
    tokens = sum(map(len, gold))
    workers = {model.title: started(model) for model in models if not model.fresh}
    for number in range(rounds + 1):
        for model in models:
            worker = workers.get(model.title) or started(model)
            reply = worker.turn(sentences=sentences)
            model.accuracy = accuracy(reply["tags"], gold)
            model.memory = reply["peak"]
            if number:
                model.speeds.append(tokens / reply["seconds"])
                progress.console.print(f"round {number}/{rounds}  {model.title:44} {model.speeds[-1]:8,.0f} tokens/s")
            if model.fresh:
                worker.close()
    for worker in workers.values():
        worker.close()


def files(path: Path) -> Iterator[Path]:
    """The file, or all files below a folder."""
    return iter([path]) if path.is_file() else (file for file in path.rglob("*") if file.is_file())


def table(models: list[Model]) -> str:
    head = ["system", "trained", "tokens/s", "test accuracy", "MB in memory", "MB on disk", "ready, s"]
    lines = [
        [
            model.title,
            model.trained,
            speed(model.speeds),
            f"{100 * model.accuracy:.2f}",
            f"{model.memory:,.0f}",
            f"{sum(file.stat().st_size for file in files(model.disk)) / 1e6:.1f}",
            f"{median(model.ready):.1f}",
        ]
        for model in models
    ]
    return markdown(head, 2, lines)


def compare(arguments: argparse.Namespace, scratch: Path, progress: Progress) -> str:
    """Trains the peers, lets all models tag in turn, and returns the report."""
    data = TaggingDataModule("ud-en-ewt", root=arguments.data_root)
    corpus = {
        split: [(list(s.tokens), list(s.tags)) for s in data.sentences(split)[: arguments.limit]] for split in SPLITS
    }
    models = [*our_models(arguments), *train_peers(arguments, corpus, scratch, progress)]
    tag_in_turn(models, corpus, arguments.rounds, progress)
    versions = subprocess.check_output([arguments.peers_python, "-c", VERSIONS], text=True).strip()
    return f"{versions}\n\n{table(models)}"


if __name__ == "__main__":
    report(partial(compare, parse_arguments()))
