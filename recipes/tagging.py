"""What the tagging recipes share: their report, and `predict`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from datamodules.readers import ConlluSentence, parse_column, read_conllu_rows
from recipes.evaluation import load_model
from recipes.figures import confusion_matrix, worst_confusions
from recipes.recipe import Recipe
from zoo.errors import ZooError
from zoo.metrics import LabelScore
from zoo.tagger import SequenceTagger

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
CHUNK = 1000  # sentences at a time: memory stays bounded however long the input is


@dataclass(frozen=True)
class TaggingReport:
    """Scores of each tag and span label, and what was taken for what."""

    tags: list[LabelScore]
    labels: list[LabelScore]
    confusion: list[list[int]]
    names: list[str]
    mistakes: list[tuple[str, str, int]]

    @classmethod
    def of(cls, model: SequenceTagger, stage: str) -> TaggingReport:
        """Of the last evaluation of `stage`; under DDP every process must ask."""
        metrics = model.metrics[stage]
        return cls(
            metrics.per_tag(),
            metrics.per_span_label(),
            metrics.confusion().tolist(),
            list(model.tags),
            metrics.worst_confusions(20),
        )

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `confusion.png` and `mistakes.png` into `folder`."""
        lines = []
        for title, scores in (("span label", self.labels), ("tag", self.tags)):
            if scores:
                lines += [f"{title:<16}{'precision':>10}{'recall':>10}{'F1':>10}{'support':>10}"]
                lines += [
                    f"{s.label:<16}{s.precision:>10.4f}{s.recall:>10.4f}{s.f1:>10.4f}{s.support:>10}" for s in scores
                ]
                lines += [""]
        lines += ["most frequent mistakes: gold, predicted, tokens"]
        lines += [f"{gold:<16}{predicted:<16}{count:>6}" for gold, predicted, count in self.mistakes]
        (folder / "scores.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        kept = [i for i, row in enumerate(self.confusion) if sum(row)]
        gold = [[*self.names, "<unseen>"][i] for i in kept]
        pictures = [confusion_matrix([self.confusion[i] for i in kept], gold, self.names, folder / "confusion.png")]
        if self.mistakes:
            pictures.append(worst_confusions(self.mistakes, folder / "mistakes.png"))
        return pictures


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """Tags text from a file or standard input; order is kept, memory bounded, an empty line stays empty."""
    parser = argparse.ArgumentParser(prog=f"python -m recipes.{recipe.name} predict", description=predict.__doc__)
    parser.add_argument("input", nargs="?", default="-", help="a file, - for standard input (default)")
    parser.add_argument("--model", default=pretrained, help=f"name, model or run folder, checkpoint ({pretrained})")
    parser.add_argument("--input_format", choices=("text", "conllu"), help="default: by the file's ending, else text")
    parser.add_argument("--format", choices=("tsv", "jsonl", "conllu"), default="tsv", help="of the output (tsv)")
    parser.add_argument("--column", default="upos", help="where CoNLL-U output has the tags (upos)")
    parser.add_argument("--output", default="-", help="a new file, - for standard output (default)")
    parser.add_argument("--overwrite", action="store_true", help="the output may replace a file")
    options = parser.parse_args(args)
    parse_column(options.column)
    model = load_model(options.model, recipe)
    with ExitStack() as stack:
        source = stack.enter_context(_open_input(options.input))
        target = stack.enter_context(_open_output(options.output, options.overwrite))
        conllu = (options.input_format or _format_of(options.input)) == "conllu"
        sentences = read_conllu_rows(source, options.input) if conllu else (line.rstrip("\r\n") for line in source)
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.completed} sentences"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                disable=not sys.stderr.isatty(),
            )
        )
        task = progress.add_task("", total=None)
        while chunk := list(islice(sentences, CHUNK)):
            tokens = [list(item.tokens) if conllu else model.tokenize(item) for item in chunk]
            tags = model.predict(tokens)
            target.writelines(_written(chunk, tokens, tags, options.format, options.column))
            target.flush()
            progress.advance(task, len(chunk))


def _format_of(name: str) -> str:
    return "conllu" if name.endswith(".conllu") else "text"


def _open_input(name: str):
    if name == "-":
        sys.stdin.reconfigure(encoding="utf-8", newline="\n")
        return nullcontext(sys.stdin)
    try:
        return open(name, encoding="utf-8-sig", newline="\n")
    except OSError as error:
        raise ZooError(f"{name}: expected a file to read, got: {error.strerror}. Check the path") from error


def _open_output(name: str, overwrite: bool):
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
        return nullcontext(sys.stdout)
    if Path(name).exists() and not overwrite:
        raise ZooError(f"{name} exists: choose another --output, or add --overwrite to replace it")
    return open(name, "w", encoding="utf-8", newline="\n")


def _written(
    chunk: Sequence[str | ConlluSentence],
    tokens: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]],
    format: str,
    column: str,
) -> Iterator[str]:
    for item, words, labels in zip(chunk, tokens, tags, strict=True):
        if format == "jsonl":
            yield json.dumps({"tokens": words, "tags": labels}, ensure_ascii=False) + "\n"
        elif format == "tsv":
            yield "".join(f"{word}\t{label}\n" for word, label in zip(words, labels, strict=True)) + "\n"
        elif isinstance(item, ConlluSentence):
            yield item.with_column(column, labels)
        else:
            yield _as_conllu(item, words).with_column(column, labels)


def _as_conllu(text: str, words: Sequence[str]) -> ConlluSentence:
    rows = [f"{number}\t{word}" + "\t_" * 8 + "\n" for number, word in enumerate(words, 1)]
    return ConlluSentence([f"# text = {text}\n", *rows, "\n"], list(range(1, len(rows) + 1)), "-", 1)
