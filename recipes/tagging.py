"""What the tagging recipes share: their report, and `predict`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl

from datamodules.readers import ConlluSentence, parse_column, read_conllu_rows
from recipes.evaluation import load_model
from recipes.figures import confusion_matrix, worst_confusions
from recipes.json_text import json_text
from recipes.recipe import Recipe, Report
from recipes.streams import lines, prediction_parser, stream
from recipes.tables import label_scores
from zoo.metrics import UNSEEN, LabelScore

LINKS = (
    "words",
    "characters",
    "tags",
    "scheme",
    "tokenizer",
    "lowercase",
    "vector_words",
    "vector_size",
)


@dataclass(frozen=True)
class TaggingReport(Report):
    """Scores of each tag and span label, and what was taken for what."""

    tags: list[LabelScore]
    labels: list[LabelScore]
    confusion: list[list[int]]
    names: list[str]
    mistakes: list[tuple[str, str, int]]

    @classmethod
    def of(cls, trainer: pl.Trainer, stage: str) -> TaggingReport:
        """Of the last evaluation of `stage`; under DDP every process must ask."""
        metrics = trainer.lightning_module.metrics[stage]
        return cls(
            metrics.per_tag(),
            metrics.per_span_label(),
            metrics.confusion().tolist(),
            metrics.tags,
            metrics.worst_confusions(20),
        )

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `confusion.png` and `mistakes.png` into `folder`."""
        text = "".join(
            label_scores(title, scores) + "\n"
            for title, scores in (("span label", self.labels), ("tag", self.tags))
            if scores
        )
        text += "most frequent mistakes: gold, predicted, tokens\n"
        text += "".join(f"{gold:<16}{predicted:<16}{count:>6}\n" for gold, predicted, count in self.mistakes)
        (folder / "scores.txt").write_text(text, encoding="utf-8")
        kept = [i for i, row in enumerate(self.confusion) if sum(row)]
        gold = [[*self.names, UNSEEN][i] for i in kept]
        pictures = [confusion_matrix([self.confusion[i] for i in kept], gold, self.names, folder / "confusion.png")]
        if self.mistakes:
            pictures.append(worst_confusions(self.mistakes, folder / "mistakes.png"))
        return pictures


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """Tags text from a file or standard input; order is kept, memory bounded, an empty line stays empty."""
    parser = prediction_parser(recipe, predict.__doc__, pretrained, formats=("tsv", "jsonl", "conllu"))
    parser.add_argument("--input_format", choices=("text", "conllu"), help="default: by the file's ending, else text")
    parser.add_argument("--column", default="upos", help="where CoNLL-U output has the tags (upos)")
    options = parser.parse_args(args)
    parse_column(options.column)
    model = load_model(options.model, recipe)
    conllu = (options.input_format or _format_of(options.input)) == "conllu"

    def tagged(chunk: Sequence[str | ConlluSentence]) -> Iterator[str]:
        tokens = [list(item.tokens) if conllu else model.tokenize(item) for item in chunk]
        return _written(chunk, tokens, model.predict(tokens), options.format, options.column)

    stream(options, read_conllu_rows if conllu else lines, tagged, "sentences")


def _format_of(name: str) -> str:
    return "conllu" if name.endswith(".conllu") else "text"


def _written(
    chunk: Sequence[str | ConlluSentence],
    tokens: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    format: str,
    column: str,
) -> Iterator[str]:
    for item, words, labels in zip(chunk, tokens, tags, strict=True):
        if format == "jsonl":
            yield json_text({"tokens": words, "tags": labels}) + "\n"
        elif format == "tsv":
            yield "".join(f"{word}\t{label}\n" for word, label in zip(words, labels, strict=True)) + "\n"
        elif isinstance(item, ConlluSentence):
            yield item.with_column(column, labels)
        else:
            yield _as_conllu(item, words).with_column(column, labels)


def _as_conllu(text: str, words: Sequence[str]) -> ConlluSentence:
    rows = [f"{number}\t{word}" + "\t_" * 8 + "\n" for number, word in enumerate(words, 1)]
    return ConlluSentence([f"# text = {text}\n", *rows, "\n"], list(range(1, len(rows) + 1)), "-", 1)
