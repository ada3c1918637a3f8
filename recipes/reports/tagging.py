"""What the tagging recipes share: their report, and `predict`."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl

from datamodules.readers.conllu import parse_column
from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.conllu import conllu_of
from recipes.prediction.inputs import Item
from recipes.reports.figures import confusion_matrix, worst_confusions
from recipes.reports.json_text import json_text
from recipes.reports.tables import label_scores
from recipes.runner.recipe import Recipe, Report
from zoo.errors import ZooError
from zoo.metrics.tagging import UNSEEN, LabelScore

LINES = 50  # of a file whose format nobody tells, that are looked at


@dataclass(frozen=True)
class TaggingReport(Report):
    """Scores of each tag and span label, and what was taken for what."""

    tags: list[LabelScore]
    labels: list[LabelScore]
    confusion: list[list[int]]
    names: list[str]
    mistakes: list[tuple[str, str, int]]
    scheme: str | None
    stray_tokens: tuple[int, int]

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
            metrics.scheme,
            metrics.stray_tokens(),
        )

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `confusion.png` and `mistakes.png` into `folder`."""
        text = "".join(
            label_scores(title, scores) + "\n"
            for title, scores in (("span label", self.labels), ("tag", self.tags))
            if scores
        )
        if self.scheme is not None:
            predicted, gold = self.stray_tokens
            text += (
                f"Spans are strict: label and both ends are right, and tags that break the scheme {self.scheme} make "
                f"none.\n{predicted} tokens predicted and {gold} tokens of gold are left out so. seqeval does the same "
                "with mode='strict'; its default counts such spans too.\n\n"
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


PREDICT = """Tags the sentences of a text file, one a line, of a CoNLL-U or column file, or of a table (JSON Lines, CSV,
Parquet) of tokens or texts. The answers keep the order of the sentences; those of a table stand beside its columns, in
JSON Lines. An empty line stays empty."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """The command `predict` of a tagger, with its arguments; `pretrained` is the default model."""
    formats = ("tsv", "jsonl", "conllu")
    parser = prediction_parser(recipe, PREDICT, pretrained, formats, inputs=("conllu", "columns"))
    parser.add_argument("--column", type=str, default="upos", help="The column of CoNLL-U output for the tags.")
    options = parser.parse_args(args)
    parse_column(options.column)
    source = source_of(options, tokens=True)
    format = options.format or ("jsonl" if source.is_table else "tsv")
    model = load_predictor(options, recipe)
    begun = False
    sentences = 0

    def tagged(chunk: Sequence[Item]) -> Iterator[str]:
        nonlocal begun, sentences
        if source.guessed and not begun:
            refuse_columns(chunk, model.codec.tags)
        begun = True
        tokens = [
            model.codec.tokenize(item.content) if isinstance(item.content, str) else item.content for item in chunk
        ]
        with computing(options, model):
            found = model.predict(tokens)
        for item, words, tags in zip(chunk, tokens, found, strict=True):
            if words:
                sentences += 1
            yield _written(item, words, tags, format, options.column, sentences)

    answer(options, source, tagged, "sentences")


def refuse_columns(chunk: Sequence[Item], tags: Container[str]) -> None:
    """Refuses lines of a column file as texts: each has a word and a tag that the model knows.

    Raises:
        ZooError: they look like that.
    """
    fields = [item.content.split() for item in list(chunk)[:LINES] if item.content.strip()]
    if len(fields) >= 2 and all(len(line) > 1 and line[-1] in tags for line in fields):
        raise ZooError(
            f"expected a text a line, got lines that end in tags, such as {' '.join(fields[0])[:60]!r}, as a column "
            "file has them. Add --input_format columns; or --input_format text, if these are texts"
        )


def _written(item: Item, words: Sequence[str], tags: Sequence[str], format: str, column: str, number: int) -> str:
    if format == "jsonl":
        answer = {"tags": tags} if isinstance(item.content, tuple) and item.fields else {"tokens": words, "tags": tags}
        return json_text(item.beside(answer)) + "\n"
    if format == "tsv":
        return "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n"
    if item.sentence is None and not words:
        return ""  # CoNLL-U knows no sentence without a word
    sentence = item.sentence or conllu_of(item.content, words, number)
    return sentence.with_column(column, tags)
