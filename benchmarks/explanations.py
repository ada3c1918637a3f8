"""How long it takes to explain one answer, on one core, and how complete integrated gradients are.

python benchmarks/explanations.py [--data FOLDER] [--sentences 50]

The sentences are those of the test split of SST-2, and of the samples for the other models.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.explanation.methods import METHODS
from zoo.models.base import ZooModule


def texts(dataset: str, root: str | None, number: int) -> list[str]:
    data = ClassificationDataModule(dataset, root=root)
    return [example.text for example in data.examples("test")[:number]]


def measure(model: ZooModule, inputs: Sequence[Any], method: str, position: int | None) -> tuple[float, ...]:
    """The median and the largest time of an input in ms, and the largest gap, in per cent."""
    zoo.explain(model, inputs[:1], method=method, position=position)
    seconds = []
    gaps = []
    for one in inputs:
        start = time.perf_counter()
        (explanation,) = zoo.explain(model, [one], method=method, position=position)
        seconds.append(time.perf_counter() - start)
        gaps.append(explanation.completeness_gap)
    return 1000 * median(seconds), 1000 * max(seconds), 100 * max(gaps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="the folder of the corpora; by default $ZOO_DATA, or where they are downloaded")
    parser.add_argument("--sentences", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    number = options.sentences
    reviews = texts("sst2", options.data, number)
    sentences = [list(sentence.tokens) for sentence in TaggingDataModule("sample-en").examples("test")[:number]]
    sources = [pair.source for pair in Seq2SeqDataModule("sample-phrases").examples("test")[:number]]
    rows: list[tuple[str, Sequence[Any], str, int | None]] = [
        *(("sentiment-en-sst2", reviews, method, None) for method in METHODS if method != "attention"),
        ("pos-en-ewt", sentences, "integrated_gradients", 0),
        ("translate-en-de-multi30k", sources, "integrated_gradients", 0),
    ]
    print("| model | method | median ms | largest ms | largest gap |")
    print("|---|---|---|---|---|")
    for name, inputs, method, position in rows:
        usual, longest, gap = measure(zoo.from_pretrained(name), inputs, method, position=position)
        shown = f"{gap:.2f} %" if method == "integrated_gradients" else ""
        print(f"| {name} | {method} | {usual:.0f} | {longest:.0f} | {shown} |")


if __name__ == "__main__":
    main()
