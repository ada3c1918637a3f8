"""What the classification recipes share: their report, and `predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_average_precision, binary_precision_recall_curve

from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.inputs import Item
from recipes.prediction.streams import TsvRows
from recipes.reports.figures import confusion_matrix, drawable, precision_recall, reliability
from recipes.reports.json_text import json_text
from recipes.reports.tables import label_scores, listed
from recipes.runner.recipe import Recipe, Report
from zoo.errors import ZooError
from zoo.metrics.classification import BINS
from zoo.metrics.tagging import LabelScore
from zoo.text import TextCounts

# Properties of the data that are arguments of the model.
LINKS = ("codec", "class_weights")
# What was best on dev of six small corpora together (benchmarks/RESULTS.md, "Defaults and corpus size").
SMALL_CORPUS = {"model.dropout": 0.3, "model.regularization.adversarial": 0.1}
SPLITS = {"val": "dev", "test": "test"}
MISTAKES = 30


@dataclass(frozen=True)
class Mistake:
    """A text that was taken for what it is not, and how surely."""

    gold: str
    predicted: str
    probability: float
    text: str


@dataclass(frozen=True)
class ClassificationReport(Report):
    """Scores of each label, what was taken for what, and how far the probabilities can be believed."""

    scores: list[LabelScore]
    read: dict[str, TextCounts]  # of the training split and of this one
    confusion: list[list[int]] | None
    confidence: Tensor  # (N,) of the decisions; with several labels a text the probability of each (N * K,)
    right: Tensor  # (N,) whether they were; with several labels a text whether it has the label (N * K,)
    curves: dict[str, tuple[Tensor, Tensor, float]]
    mistakes: list[Mistake]

    @classmethod
    def of(cls, trainer: pl.Trainer, stage: str) -> ClassificationReport:
        """Of the last evaluation of `stage`; under DDP every process must ask."""
        metrics, split = trainer.lightning_module.metrics[stage], SPLITS[stage]
        probabilities, gold, rows = (part.cpu() for part in metrics.predictions())
        decided = metrics.decide(probabilities)  # (N,), or (N, K) with several labels a text
        right = decided == gold
        if metrics.multi_label:
            confidence = torch.maximum(probabilities, 1 - probabilities)  # (N, K)
            has_label = gold.long()
        else:
            confidence = probabilities.amax(-1)  # (N,)
            has_label = torch.nn.functional.one_hot(gold, len(metrics.labels))
        shown = range(len(metrics.labels)) if metrics.positive is None else [metrics.positive]
        doubt = confidence.masked_fill(right, 0.0).view(len(gold), -1).amax(-1)  # (N,) of the surest wrong decision
        worst = doubt.argsort(descending=True)[: min(MISTAKES, int((doubt > 0).sum()))].tolist()
        texts = trainer.datamodule.texts(split)

        def named(ids: Tensor) -> str:
            chosen = ids.nonzero().flatten() if metrics.multi_label else ids[None]
            return "|".join(metrics.labels[i] for i in chosen.tolist())

        return cls(
            metrics.per_label(),
            {name: trainer.datamodule.counts(name) for name in ("train", split)},
            None if metrics.multi_label else metrics.confusion().tolist(),
            probabilities.flatten() if metrics.multi_label else confidence,
            has_label.flatten() if metrics.multi_label else right,
            {metrics.labels[i]: _curve(probabilities[:, i], has_label[:, i]) for i in shown if has_label[:, i].any()},
            [Mistake(named(gold[i]), named(decided[i]), float(doubt[i]), texts[rows[i]].text) for i in worst],
        )

    def counts(self) -> dict[str, dict[str, int]]:
        return {split: counts._asdict() for split, counts in self.read.items()}

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `mistakes.tsv` and the pictures into `folder`."""
        counts = "".join(f"{split}: {listed(counts)}\n" for split, counts in self.counts().items())
        (folder / "scores.txt").write_text(label_scores("label", self.scores) + "\n" + counts, encoding="utf-8")
        rows = ["gold\tpredicted\tprobability\ttext"]
        rows += [f"{m.gold}\t{m.predicted}\t{m.probability:.4f}\t{' '.join(m.text.split())}" for m in self.mistakes]
        (folder / "mistakes.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        labels = [score.label for score in self.scores]
        names = drawable(labels)
        curves = {names[labels.index(label)]: curve for label, curve in self.curves.items()}
        pictures = [
            reliability(self.confidence, self.right, BINS, folder / "reliability.png"),
            precision_recall(curves, folder / "precision-recall.png"),
        ]
        if self.confusion is not None:
            pictures.append(confusion_matrix(self.confusion, names, names, folder / "confusion.png"))
        return pictures


def _curve(ranking: Tensor, has_label: Tensor) -> tuple[Tensor, Tensor, float]:
    precision, recall, _ = binary_precision_recall_curve(ranking, has_label)
    return precision, recall, float(binary_average_precision(ranking, has_label))


PREDICT = """Classifies the texts of a file, one a line, or of a table (CSV, TSV, JSON Lines, Parquet).
The answers keep the order of the texts; those of a table stand beside its columns. An empty line is a text."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """The command `predict` of a classifier, with its arguments; `pretrained` is the default model."""
    parser = prediction_parser(recipe, PREDICT, pretrained, formats=("tsv", "jsonl"))
    parser.add_argument("--explain", action="store_true", help="Add tokens and their attention weights, in JSON Lines.")
    options = parser.parse_args(args)
    format = options.format or "tsv"
    if options.explain and format != "jsonl":
        raise ZooError("--explain gives a list for each text: add --format jsonl")
    source = source_of(options)
    model = load_predictor(options, recipe)
    codec = model.codec
    table = TsvRows(["labels" if codec.multi_label else "label", *codec.labels])
    counts = TextCounts()

    def classified(chunk: Sequence[Item]) -> Iterator[str]:
        nonlocal counts
        texts = [item.content for item in chunk]
        read = codec.preprocessor.count(map(codec.preprocessor.split, texts))
        counts = TextCounts(*(before + now for before, now in zip(counts, read, strict=True)))
        with computing(options, model):
            results = model.explain(texts) if options.explain else model.predict(texts)
        for item, result in zip(chunk, results, strict=True):
            if format == "jsonl":
                row = {"text": item.content, **result} if item.fields is None else item.beside(result)
                yield json_text(row) + "\n"
            else:
                label = "|".join(result["labels"]) if codec.multi_label else result["label"]
                yield table.row(item, [label, *(f"{p:.4f}" for p in result["probabilities"].values())])

    header = table.header() if format == "tsv" and not source.is_table else ""
    answer(options, source, classified, "texts", header)
    if counts.empty or counts.truncated:
        print(listed(counts._asdict()), file=sys.stderr)
