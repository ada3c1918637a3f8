"""The classifier's defaults on small corpora, compared on dev with tf-idf and a linear support vector machine.

    ZOO_DATA=... python benchmarks/defaults.py > table.md
    ZOO_DATA=... python benchmarks/defaults.py --only trec-6 -- --data.min_count 2     # with flags of a recipe

Larger corpora are sampled with seed 0. The features of the linear model are words and pairs of words, or, in Chinese,
sequences of one to three characters. The recipes run by `fit`, which does not read test. Both systems read the same
texts. The scores of a recipe are those of its epoch with the best macro F1 on dev.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score
from sklearn.svm import LinearSVC

from datamodules import ClassificationDataModule

PARTS = ("train", "dev")
WORD = r"(?u)\b\w+\b|[^\w\s]"


@dataclass(frozen=True)
class Corpus:
    """A corpus of texts with labels.

    Attributes:
        recipe: the recipe for the corpus.
        source: arguments of a datamodule that reads the whole corpus. "train" and "dev" are files below the root.
        texts: the largest number of texts to read from train and from dev.
        chinese: whether the texts are Chinese.
    """

    recipe: str
    source: dict[str, Any] = field(default_factory=dict)
    texts: tuple[int, int] = (100_000, 100_000)
    chinese: bool = False


def trec(label_column: int) -> Corpus:
    files = {part: f"trec/{part}.tsv" for part in PARTS}
    return Corpus("topic", {**files, "text_column": 2, "label_column": label_column})


CORPORA = {
    "trec-6": trec(0),
    "trec-50": trec(1),
    "sms-spam": Corpus("spam", {"dataset": "sms-spam"}),
    "sst2": Corpus("sentiment", {"dataset": "sst2"}, texts=(3000, 872)),
    "shopping-zh": Corpus("sentiment", {"dataset": "shopping-zh"}, texts=(2000, 1000), chinese=True),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-root", default=os.environ.get("ZOO_DATA", "."), help="the corpora (default: $ZOO_DATA)")
    parser.add_argument("--only", nargs="+", default=list(CORPORA), choices=CORPORA, help="these corpora")
    parser.add_argument("flags", nargs="*", help="flags of the recipes, after --")
    return parser.parse_args()


def write_parts(corpus: Corpus, root: Path, folder: Path) -> dict[str, Path]:
    """Writes the texts to read as JSON Lines into `folder`, with one file for each part."""
    source: dict[str, Any] = {}
    for name, value in corpus.source.items():
        source[name] = str(root / value) if name in PARTS else value
    data = ClassificationDataModule(root=str(root), **source)
    paths = {}
    for part, most in zip(PARTS, corpus.texts, strict=True):
        texts = data.texts(part)
        chosen = texts if len(texts) <= most else random.Random(0).sample(texts, most)
        paths[part] = folder / f"{part}.jsonl"
        rows = [json.dumps({"text": text.text, "label": text.labels[0]}, ensure_ascii=False) for text in chosen]
        paths[part].write_text("\n".join(rows) + "\n", encoding="utf-8")
    return paths


def linear_model(paths: dict[str, Path], *, chinese: bool) -> tuple[float, float]:
    """Accuracy and macro F1 of tf-idf with a linear model."""
    rows = {part: [json.loads(line) for line in path.open(encoding="utf-8")] for part, path in paths.items()}
    if chinese:
        features = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    else:
        features = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)
    model = LinearSVC()
    model.fit(features.fit_transform(row["text"] for row in rows["train"]), [row["label"] for row in rows["train"]])
    predicted = model.predict(features.transform(row["text"] for row in rows["dev"]))
    gold = [row["label"] for row in rows["dev"]]
    return accuracy_score(gold, predicted), f1_score(gold, predicted, average="macro")


def recipe(name: str, paths: dict[str, Path], run: Path, flags: list[str]) -> dict[str, Any]:
    """The metrics that a run of a recipe has written."""
    files = [f"--data.{part}={path}" for part, path in paths.items()]
    command = [sys.executable, "-m", f"recipes.{name}", "fit", "--wandb=disabled", f"--out={run}", *files, *flags]
    subprocess.run(command, check=True, stdout=sys.stderr)
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text("utf-8"))
    return metrics


def main() -> None:
    arguments = parse_arguments()
    print(f"{date.today()}, torch {torch.__version__}, dev: accuracy (macro F1)\n")
    print("| corpus | texts of train, dev | tf-idf, linear | recipe | seconds | epochs |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for name in arguments.only:
        corpus = CORPORA[name]
        with tempfile.TemporaryDirectory() as folder:
            paths = write_parts(corpus, Path(arguments.data_root), Path(folder))
            sizes = ", ".join(f"{len(path.read_text('utf-8').splitlines()):,}" for path in paths.values())
            accuracy, macro_f1 = linear_model(paths, chinese=corpus.chinese)
            facts = recipe(corpus.recipe, paths, Path(folder) / "run", arguments.flags)
        scores = facts["scores"]
        cells = [
            name,
            sizes,
            f"{100 * accuracy:.1f} ({100 * macro_f1:.1f})",
            f"{100 * scores['val/accuracy']:.1f} ({100 * scores['val/macro_f1']:.1f})",
            f"{facts['train_seconds']:.0f}",
            f"{facts['epochs']:g}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\n`{shlex.join(['python', *sys.argv])}`")


if __name__ == "__main__":
    main()
