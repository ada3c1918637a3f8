"""Encodes synthetic corpora larger than memory into stores, and trains from them.

    python benchmarks/large_corpus.py --task tagging --examples 5000000 --few 50000

prints a table, with a row for the many and one for the few examples: the rate of encoding, the largest resident memory
of a process in it, and the largest size of the store while it is built; the time from the start of a process to its
first training step, once the store exists, and how much of it are imports; the time to plan an epoch; and the memory
after `--steps` steps. Tasks are tagging, classification and pairs. The words follow Zipf's law, and the few examples
are the first of the many.

Private memory is what a process has to keep. Resident memory has the pages of files besides, such as the libraries'
and the store's.

Five million sentences of 20 words are a file of 0.7 GB. Everything is removed at the end unless `--folder` names where
to keep it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

# Only the processes that encode and train import torch, so that it costs the others no memory.
if TYPE_CHECKING:
    from datamodules.base import CorpusDataModule
    from zoo.models.base import ZooModule

LETTERS = "etaoinshrdlcumwfgypbvk"
TAGS = 17
LABELS = 5
CHUNK = 50_000  # examples to draw at a time


def words_of(size: int) -> list[str]:
    """Distinct words, short ones first."""
    words = []
    for rank in range(size):
        letters = []
        number = rank + 1
        while number:
            number, letter = divmod(number, len(LETTERS))
            letters.append(LETTERS[letter])
        words.append("".join(letters))
    return words


def draw(examples: int, vocabulary: int, longest: int = 100) -> Iterator[list[int]]:
    """The ranks of the words of each example."""
    generator = np.random.default_rng(0)
    shares = 1 / (np.arange(vocabulary) + 2.7)
    ends = np.cumsum(shares / shares.sum())
    for start in range(0, examples, CHUNK):
        lengths = generator.lognormal(2.85, 0.55, min(CHUNK, examples - start)).astype(int).clip(1, longest)
        ranks = np.searchsorted(ends, generator.random(lengths.sum())).clip(0, vocabulary - 1).tolist()
        place = 0
        for length in lengths.tolist():
            yield ranks[place : place + length]
            place += length


def write_corpus(task: str, path: Path, examples: int, vocabulary: int) -> None:
    """Writes a corpus of a task."""
    words = words_of(vocabulary)
    lines = [f"{word}\tT{rank % TAGS}\n" for rank, word in enumerate(words)]
    with path.open("w", encoding="utf-8") as file:
        if task == "classification":
            file.write("label\ttext\n")
        if task == "pairs":
            file.write("source\ttarget\n")
        for ranks in draw(examples, vocabulary):
            if task == "tagging":
                file.write("".join([lines[rank] for rank in ranks]) + "\n")
                continue
            text = [words[rank] for rank in ranks]
            if task == "classification":
                file.write(f"L{max(ranks) % LABELS}\t{' '.join(text)}\n")
            else:
                file.write(f"{' '.join(text)}\t{' '.join(text[::-1])}\n")


def data_of(task: str, folder: Path, name: str) -> CorpusDataModule[Any, Any]:
    """The data of a corpus, whose training split is in a store."""
    from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule

    ending = "txt" if task == "tagging" else "tsv"
    train = str(folder / f"{name}.{ending}")
    dev = str(folder / f"dev.{ending}")
    if task == "tagging":
        return TaggingDataModule(train=train, dev=dev, store=True)
    if task == "classification":
        return ClassificationDataModule(train=train, dev=dev, store=True)
    # The probabilities of all words at each position take most of a step, and of the memory.
    return Seq2SeqDataModule(train=train, dev=dev, store=True, tokenizer="words", max_tokens=500)


def model_of(task: str, codec: Any) -> ZooModule:
    """A small model."""
    import zoo

    if task == "tagging":
        return zoo.SequenceTagger(codec, hidden_size=16, embedding_size=16)
    if task == "classification":
        return zoo.TextClassifier(codec, hidden_size=16, embedding_size=16)
    return zoo.Seq2Seq(codec, encoder_size=16, decoder_size=16, embedding_size=16)


def memory() -> dict[str, float]:
    """The private and the resident memory of this process in MB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kilobytes = {name: int(status[name].split()[0]) for name in ("RssAnon", "VmRSS")}
    return {"private": kilobytes["RssAnon"] / 1000, "resident": kilobytes["VmRSS"] / 1000}


def encode(task: str, folder: Path, name: str) -> dict[str, float]:
    """Encodes a corpus: the seconds that it takes, and the largest memory of this process and of those it starts."""
    data = data_of(task, folder, name)
    started = time.perf_counter()
    examples = data.training_examples
    seconds = time.perf_counter() - started
    # The few sentences of dev have a store too, which exists before the first step.
    data.encoded("dev")
    own, other = (resource.getrusage(who).ru_maxrss / 1000 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {"encode_seconds": seconds, "examples": examples, "encode_memory": max(own, other)}


def train(task: str, folder: Path, name: str, steps: int, started: float) -> dict[str, float]:
    """Trains from the store: seconds to the first step and to plan an epoch, and the memory at the end.

    Args:
        task, folder, name: the corpus.
        steps: the number of steps.
        started: when this process was started.
    """
    import pytorch_lightning as pl
    from pytorch_lightning.callbacks import Callback

    import datamodules  # noqa: F401
    import zoo  # noqa: F401
    from datamodules.planning import EpochPlanner

    warnings.simplefilter("ignore")
    found = {"import_seconds": time.time() - started}

    class FirstStep(Callback):
        def on_train_batch_end(self, *_: object) -> None:
            found.setdefault("first_step_seconds", time.time() - started)

    data = data_of(task, folder, name)
    model = model_of(task, data.codec)
    trainer = pl.Trainer(
        max_steps=steps, limit_val_batches=0, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=[FirstStep()],
    )  # fmt: skip
    trainer.fit(model, data)
    found |= memory()
    lengths = data.encoded("train").lengths
    planner = EpochPlanner(lengths, data.budget, seed=1)
    before = time.perf_counter()
    planner.batches(1)
    return {**found, "plan_seconds": time.perf_counter() - before}


def in_a_process(options: argparse.Namespace, folder: Path, stage: str, name: str) -> dict[str, float]:
    """What this script finds as a process of its own, and the largest size of all stores meanwhile."""
    command = [sys.executable, __file__, "--task", options.task, "--folder", str(folder), "--steps", str(options.steps)]
    command += ["--stage", stage, "--name", name, "--started", str(time.time())]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    before = size_of(folder / "cache")
    largest = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            largest = max(largest, size_of(folder / "cache") - before)
            time.sleep(0.2)
        output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} has failed")
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return {**found, f"{stage}_disk": largest, f"{stage}_stored": size_of(folder / "cache") - before}


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder, of which some may vanish meanwhile."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("tagging", "classification", "pairs"), default="tagging")
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--few", type=int, default=50_000)
    parser.add_argument("--vocabulary", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stage", choices=("encode", "train"))
    parser.add_argument("--name")
    parser.add_argument("--started", type=float)
    options = parser.parse_args()
    if options.stage is not None:
        if options.stage == "encode":
            found = encode(options.task, options.folder, options.name)
        else:
            found = train(options.task, options.folder, options.name, options.steps, options.started)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        ending = "txt" if options.task == "tagging" else "tsv"
        for name, examples in (("many", options.examples), ("few", options.few), ("dev", 200)):
            write_corpus(options.task, folder / f"{name}.{ending}", examples, options.vocabulary)
        rows = {}
        for name in ("many", "few"):
            rows[name] = in_a_process(options, folder, "encode", name) | in_a_process(options, folder, "train", name)
        size = (folder / f"many.{ending}").stat().st_size
    many = rows["many"]
    print(
        f"\n{options.task}: {size / 1e6:,.0f} MB of text; its store has {many['encode_stored'] / 1e6:,.0f} MB, and at "
        f"most {many['encode_disk'] / 1e6:,.0f} MB while it is built\n"
    )
    print("| examples | encoded in | examples/s | memory | first step (imports) | plan | private, resident memory |")
    print("|---|---|---|---|---|---|---|")
    for row in rows.values():
        print(
            f"| {row['examples']:,} | {row['encode_seconds']:.0f} s | {row['examples'] / row['encode_seconds']:,.0f} "
            f"| {row['encode_memory']:.0f} MB | {row['first_step_seconds']:.1f} ({row['import_seconds']:.1f}) s "
            f"| {row['plan_seconds']:.2f} s | {row['private']:.0f}, {row['resident']:.0f} MB |"
        )
    for kind in ("private", "resident"):
        print(f"{kind} memory, many / few: {many[kind] / rows['few'][kind]:.3f}")


if __name__ == "__main__":
    main()
