"""The report and the command `predict` of the classification recipes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, one_hot
from torchmetrics.functional.classification import binary_average_precision, binary_precision_recall_curve

from datamodules.classification import ClassificationDataModule
from datamodules.examples import LabelledText
from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.explanations import add_explain_flag, explained_format, fields_of, page_header, paragraph
from recipes.prediction.inputs import Item
from recipes.prediction.streams import TsvRows
from recipes.reports.examples import SPLITS, Content, ScoredExample
from recipes.reports.figures import confusion_matrix, drawable, precision_recall, reliability
from recipes.reports.json_text import json_text
from recipes.reports.tables import label_scores, listed
from recipes.runner.recipe import Recipe, Report, instance
from zoo.batches.predictions import Attended
from zoo.explanation.explain import explain
from zoo.metrics.classification import BINS, ClassificationMetrics, Predictions
from zoo.metrics.tagging import LabelScore
from zoo.models.classifier import TextClassifier
from zoo.text import TextCounts

# Properties of the data that are arguments of the model.
LINKS = ("codec", "class_weights")
# The attention to the first texts is shown, so many of them.
ATTENDED = 5
# These values have the best average dev score on six small corpora (benchmarks/RESULTS.md, "Defaults and corpus size").
SMALL_CORPUS = {"model.dropout": 0.3, "model.regularization.adversarial": 0.1}


@dataclass(frozen=True)
class ClassificationReport(Report):
    """Scores of each label, the confusion matrix, the calibration, and the answer to each text."""

    scores: list[LabelScore]
    read: dict[str, TextCounts]
    """Counts of the texts of the training split and of the evaluated one, by split."""
    confusion: list[list[int]] | None
    """None if a text may have several labels."""
    confidence: Tensor
    """(N,), the probability of each prediction; if a text may have several labels, (N * K,), that of each label."""
    right: Tensor
    """(N,), whether each prediction is right; if a text may have several labels, (N * K,), whether it has the label."""
    curves: dict[str, tuple[Tensor, Tensor, float]]
    """Precisions, recalls and average precision, by label."""
    positive: str | None
    """The label that the ranking scores are about."""
    predictions: Predictions
    decided: Tensor
    """(N,), the predicted labels; if a text may have several labels, (N, K)."""
    model: TextClassifier
    texts: Callable[[], Sequence[LabelledText]]
    """Reads the texts of the evaluated split."""

    @classmethod
    def of(cls, model: TextClassifier, data: ClassificationDataModule, stage: str) -> ClassificationReport:
        """Reports the last evaluation of `stage`; under DDP it must be called on every process."""
        metrics = instance(model.metrics[stage], ClassificationMetrics)
        split = SPLITS[stage]
        predictions = Predictions(*(part.cpu() for part in metrics.predictions()))
        probabilities, gold, _ = predictions
        decided = metrics.decide(probabilities)  # (N,), or (N, K) if a text may have several labels
        right = decided == gold
        if metrics.multi_label:
            confidence = torch.maximum(probabilities, 1 - probabilities)  # (N, K)
            has_label = gold.long()
        else:
            confidence = probabilities.amax(-1)  # (N,)
            has_label = one_hot(gold, len(metrics.labels))
        shown = range(len(metrics.labels)) if metrics.positive is None else [metrics.positive]
        curves = {}
        for label in shown:
            if has_label[:, label].any():
                curves[metrics.labels[label]] = _curve(probabilities[:, label], has_label[:, label])
        return cls(
            scores=metrics.per_label(),
            read={name: data.counts(name) for name in ("train", split)},
            confusion=None if metrics.multi_label else metrics.confusion().tolist(),
            confidence=probabilities.flatten() if metrics.multi_label else confidence,
            right=has_label.flatten() if metrics.multi_label else right,
            curves=curves,
            positive=None if metrics.positive is None else metrics.labels[metrics.positive],
            predictions=predictions,
            decided=decided,
            model=model,
            texts=partial(data.texts, split),
        )

    def counts(self) -> dict[str, dict[str, int]]:
        return {split: counts._asdict() for split, counts in self.read.items()}

    def task(self) -> dict[str, object]:
        return {
            "kind": "classification",
            "labels": [score.label for score in self.scores],
            "positive": self.positive,
            "multi_label": self.confusion is None,
        }

    def attention(self) -> list[Attended]:
        if self.model.pooling.attention is None:
            return []
        preprocessor = self.model.codec.preprocessor
        # A text without a token has no attention.
        readable = (text.text for text in self.texts() if preprocessor.split(text.text))
        found = explain(self.model, islice(readable, ATTENDED), method="attention")
        return [Attended(list(one.tokens), [one.target], torch.tensor([one.attributions])) for one in found]

    def examples(self) -> Iterator[ScoredExample]:
        texts = self.texts()
        probabilities, gold, rows = self.predictions
        if self.confusion is None:
            has_label = gold.to(probabilities.dtype)
            losses = binary_cross_entropy(probabilities, has_label, reduction="none").mean(1)  # (N,)
        else:
            losses = -probabilities.gather(1, gold[:, None]).squeeze(1).log()  # (N,)
        columns = (part.tolist() for part in (rows, gold, self.decided, losses, probabilities))
        for row, of_gold, decided, loss, of_labels in zip(*columns, strict=True):
            yield ScoredExample(
                row,
                source=texts[row].text,
                gold=self._named(of_gold),
                predicted=self._named(decided),
                loss=loss,
                tokens=1,
                # More digits than these only differ between machines.
                details={"probabilities": [float(f"{p:.7g}") for p in of_labels]},
            )

    def _named(self, answer: int | Sequence[int]) -> Content:
        """The name of a label id, or of all labels of a row `(K,)` of zeros and ones."""
        if isinstance(answer, int):
            return self.scores[answer].label
        return [score.label for score, has_label in zip(self.scores, answer, strict=True) if has_label]

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt` and the pictures into `folder`."""
        counts = "".join(f"{split}: {listed(counts)}\n" for split, counts in self.counts().items())
        (folder / "scores.txt").write_text(label_scores("label", self.scores) + "\n" + counts, encoding="utf-8")
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


PREDICT = """Classifies the texts of a file with one text per line, or of a table (CSV, JSON, Excel, ...).
The answers are in the order of the texts. Answers to a table also have its columns. An empty line is a text."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """Runs the command `predict` of a classifier. `pretrained` is the default model."""
    parser = prediction_parser(recipe, PREDICT, pretrained, formats=("tsv", "jsonl", "html"))
    add_explain_flag(parser)
    options = parser.parse_args(args)
    format = explained_format(options, usual="tsv")
    source = source_of(options)
    model = load_predictor(options, recipe, TextClassifier)
    codec = model.codec
    table = TsvRows(["labels" if codec.multi_label else "label", *codec.labels])
    counts = TextCounts()

    def classified(chunk: Sequence[Item]) -> Iterator[str]:
        nonlocal counts
        texts = [item.text for item in chunk]
        read = codec.preprocessor.count(map(codec.preprocessor.split, texts))
        counts = TextCounts(*(before + now for before, now in zip(counts, read, strict=True)))
        with computing(options, model):
            results = model.predict(texts)
        for item, result in zip(chunk, results, strict=True):
            if options.explain:
                has_tokens = bool(codec.preprocessor.split(item.text))
                (explanation,) = explain(model, [item.text], method=options.explain) if has_tokens else [None]
                if format == "html":
                    yield paragraph([] if explanation is None else [explanation])
                    continue
                result["explanation"] = fields_of(explanation)
            if format == "jsonl":
                row = {"text": item.content, **result} if item.fields is None else item.beside(result)
                yield json_text(row) + "\n"
            else:
                label = "|".join(result["labels"]) if codec.multi_label else result["label"]
                yield table.row(item, [label, *(f"{p:.4f}" for p in result["probabilities"].values())])

    header = page_header(options) if format == "html" else ""
    if format == "tsv" and not source.is_table:
        header = table.header()
    answer(options, source, classified, "texts", header)
    if counts.empty or counts.truncated:
        print(listed(counts._asdict()), file=sys.stderr)
