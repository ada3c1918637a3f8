"""A tagger under load: four threads send it requests while another tagger trains in the same process.

    python benchmarks/soak.py --sentences 200000

Each answer must equal that of a tagger that runs alone, in one thread. The time of a request with a new word must not
grow during the run, and neither must memory after the warm-up. The requests are sentences of a corpus's training split,
in each of which a random word replaces one. The table has a row for each tenth of the run. The exit status is 1 if an
answer differs.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from string import ascii_lowercase

import pytorch_lightning as pl
import torch

import zoo
from datamodules import TaggingDataModule
from recipes.runner.recipe import instance

# The number of threads that send requests.
THREADS = 4
# The number of rows in the table.
ROWS = 10
# The number of sentences in a long request.
REQUEST = 20


def requests(sentences: Sequence[Sequence[str]], number: int) -> list[list[list[str]]]:
    """Requests with `number` sentences in total. Every fifth request is long. Each sentence has a new word."""
    dice = random.Random(0)
    made: list[list[list[str]]] = []
    left = number
    while left > 0:
        size = min(left, REQUEST if len(made) % 5 == 4 else 1)
        made.append([_with_new_word(dice, dice.choice(sentences)) for _ in range(size)])
        left -= size
    return made


def _with_new_word(dice: random.Random, sentence: Sequence[str]) -> list[str]:
    changed = list(sentence)
    changed[dice.randrange(len(changed))] = "".join(dice.choices(ascii_lowercase, k=dice.randint(4, 12)))
    return changed


def resident() -> float:
    """Memory of this process, in MB (Linux)."""
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS")


def train_until(stop: threading.Event, steps: list[int]) -> Callable[[], None]:
    """A function that trains a tagger on the bundled sample until `stop` is set. Every 50 steps, it predicts."""

    data = TaggingDataModule("sample-en")
    tagger = zoo.SequenceTagger(data.codec, hidden_size=64)

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
            steps[0] += 1
            if steps[0] % 50 == 0:
                tagger.predict([["A", "sentence", "beside", "its", "training"]])
            trainer.should_stop = stop.is_set()

    def train() -> None:
        trainer = pl.Trainer(
            max_epochs=1_000_000,
            accelerator="cpu",
            logger=False,
            callbacks=[Watch()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(tagger, data)

    return train


def soak(asked: list[list[list[str]]], lone: list[list[list[str]]], model: str) -> int:
    """Answers all requests in threads during a training, prints a table, and returns the number of wrong answers."""
    tagger = instance(zoo.from_pretrained(model), zoo.SequenceTagger)
    stop = threading.Event()
    steps = [0]
    learner = threading.Thread(target=train_until(stop, steps))

    def ask(number: int) -> tuple[bool, float]:
        start = time.perf_counter()
        found = tagger.predict(asked[number])
        return found == lone[number], time.perf_counter() - start

    print("| sentences | other answers | one sentence, median ms | 99 of 100 below | memory, MB | steps trained |")
    print("|---|---|---|---|---|---|")
    wrong = sentences = 0
    learner.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for row in range(ROWS):
                numbers = range(len(asked) * row // ROWS, len(asked) * (row + 1) // ROWS)
                results = list(pool.map(ask, numbers))
                wrong += sum(not right for right, _ in results)
                sentences += sum(len(asked[number]) for number in numbers)
                short = sorted(s * 1e3 for n, (_, s) in zip(numbers, results, strict=True) if len(asked[n]) == 1)
                late = short[int(len(short) * 0.99)]
                figures = f"{median(short):.1f} | {late:.1f} | {resident():.0f} | {steps[0]}"
                print(f"| {sentences:,} | {wrong} | {figures} |", flush=True)
    finally:
        stop.set()
        learner.join()
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=200_000)
    parser.add_argument("--model", default="pos-en-ewt")
    parser.add_argument("--data", default="sample-en", help="a tagging corpus, as in --data.dataset")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    sentences = [sentence.tokens for sentence in TaggingDataModule(options.data).sentences("train")]
    asked = requests(sentences, options.sentences)
    reference = instance(zoo.from_pretrained(options.model), zoo.SequenceTagger)
    lone = [reference.predict(request) for request in asked]
    print(f"{options.model}, torch {torch.__version__}, {torch.get_num_threads()} threads of torch\n")
    sys.exit(1 if soak(asked, lone, options.model) else 0)


if __name__ == "__main__":
    main()
