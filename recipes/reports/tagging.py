"""The report and the command `predict` of the tagging recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from datamodules.examples import TaggedSentence
from datamodules.readers.conllu import parse_column
from datamodules.tagging import TaggingDataModule
from recipes.prediction.command import answer, computing, load_predictor, prediction_parser, source_of
from recipes.prediction.conllu import conllu_of
from recipes.prediction.explanations import add_explain_flag, explained_format, fields_of, page_header, paragraph
from recipes.prediction.inputs import Item
from recipes.reports.examples import SPLITS, ScoredExample
from recipes.reports.figures import confusion_matrix, worst_confusions
from recipes.reports.json_text import json_text
from recipes.reports.tables import filled, label_scores
from recipes.runner.recipe import Recipe, Report, instance
from zoo.codecs import TaggingCodec
from zoo.errors import ZooError
from zoo.explanation.explain import explain
from zoo.explanation.explanation import Explanation
from zoo.metrics.tagging import UNSEEN, LabelScore, TaggingMetrics
from zoo.models.outcomes import Outcome
from zoo.models.tagger import SequenceTagger
from zoo.models.text_tagger import tagged_spans
from zoo.text import Token

# The number of lines of a file of unknown format that are checked for tags.
LINES = 50


@dataclass(frozen=True)
class TaggingReport(Report):
    """Scores of each tag and span label, and the confusion matrix of the tags."""

    tags: list[LabelScore]
    labels: list[LabelScore]
    confusion: list[list[int]]
    names: list[str]
    mistakes: list[tuple[str, str, int]]
    scheme: str | None
    stray_tokens: tuple[int, int]
    outcomes: dict[int, Outcome]
    """By row."""
    sentences: Callable[[], Sequence[TaggedSentence]]
    """Reads the sentences of the evaluated split."""

    @classmethod
    def of(cls, model: SequenceTagger, data: TaggingDataModule, stage: str) -> TaggingReport:
        """Reports the last evaluation of `stage`; under DDP it must be called on every process."""
        metrics = instance(model.metrics[stage], TaggingMetrics)
        return cls(
            tags=metrics.per_tag(),
            labels=metrics.per_span_label(),
            confusion=metrics.confusion().tolist(),
            names=metrics.tags,
            mistakes=metrics.worst_confusions(20),
            scheme=metrics.scheme,
            stray_tokens=metrics.stray_tokens(),
            outcomes={} if model.outcomes is None else model.outcomes.gathered(),
            sentences=partial(data.sentences, SPLITS[stage]),
        )

    def task(self) -> dict[str, object]:
        return {"kind": "tagging", "labels": self.names, "scheme": self.scheme}

    def examples(self) -> Iterator[ScoredExample]:
        sentences = self.sentences()
        for row, outcome in self.outcomes.items():
            sentence = sentences[row]
            yield ScoredExample(
                row,
                source=list(sentence.tokens),
                gold=list(sentence.tags),
                predicted=[self.names[i] for i in outcome.tag_ids.tolist()],
                loss=outcome.loss / outcome.tokens if outcome.tokens else math.nan,
                tokens=outcome.tokens,
                details={"unknown": outcome.unknown.nonzero()[0].tolist()},
            )

    def write(self, folder: Path) -> list[Path]:
        """Writes `scores.txt`, `confusion.png` and `mistakes.png` into `folder`."""
        text = ""
        for title, scores in (("span label", self.labels), ("tag", self.tags)):
            if scores:
                text += label_scores(title, scores) + "\n"
        if self.scheme is not None:
            predicted, gold = self.stray_tokens
            text += (
                "Spans are strict: the label and both ends must be right, and tags that break the scheme "
                f"{self.scheme} make no span.\nThis leaves out {predicted} predicted tokens and {gold} gold tokens. "
                "seqeval does the same with mode='strict'; its default counts such spans too.\n\n"
            )
        text += "most frequent mistakes: gold, predicted, tokens\n"
        text += "".join(
            f"{filled(gold, 16)}{filled(predicted, 16)}{count:>6}\n" for gold, predicted, count in self.mistakes
        )
        (folder / "scores.txt").write_text(text, encoding="utf-8")
        names = [*self.names, UNSEEN]
        occurring = [tag for tag, row in enumerate(self.confusion) if sum(row)]
        counts = [self.confusion[tag] for tag in occurring]
        gold_names = [names[tag] for tag in occurring]
        pictures = [confusion_matrix(counts, gold_names, self.names, folder / "confusion.png")]
        if self.mistakes:
            pictures.append(worst_confusions(self.mistakes, folder / "mistakes.png"))
        return pictures


PREDICT = """Tags the sentences of a text file, of a CoNLL-U or column file, or of a table (JSON Lines, CSV, Parquet) of
tokens or texts. A text, such as a line of a text file, is split into sentences and tokens by rules. If its tokens are
separated by spaces already, add --input_format tokens. The answers are in the order of the sentences. Answers to a
table also have its columns, in JSON Lines. The answer to an empty line is empty."""


def predict(recipe: Recipe, args: Sequence[str], pretrained: str) -> None:
    """Runs the command `predict` of a tagger. `pretrained` is the default model."""
    formats = ("tsv", "jsonl", "conllu", "html")
    parser = prediction_parser(recipe, PREDICT, pretrained, formats, inputs=("tokens", "conllu", "columns"))
    parser.add_argument("--column", type=str, default="upos", help="The column of the tags in CoNLL-U output.")
    parser.add_argument("--offsets", action="store_true", help="Write places in the text, and spans, to JSON Lines.")
    add_explain_flag(parser)
    options = parser.parse_args(args)
    parse_column(options.column)
    source = source_of(options, tokens=True)
    format = explained_format(options, usual="jsonl" if source.is_table or options.offsets else "tsv")
    if options.offsets and format != "jsonl":
        raise ZooError(f"--offsets are written to JSON Lines alone: leave out --format {format}, or --offsets")
    model = load_predictor(options, recipe, SequenceTagger)
    begun = False
    sentences = 0

    def tagged(chunk: Sequence[Item]) -> Iterator[str]:
        nonlocal begun, sentences
        if source.guessed and not begun:
            refuse_columns(chunk, model.codec.tags)
        begun = True
        documents = [model.codec.read(item.content) for item in chunk]
        with computing(options, model):
            found = iter(model.predict([_words(sentence) for document in documents for sentence in document]))
        for item, document in zip(chunk, documents, strict=True):
            tags = list(islice(found, len(document)))
            explanations = _explanations(model, document, options.explain) if options.explain else []
            if format == "html":
                yield paragraph(explanations)
            elif format == "jsonl":
                row = _row(item, document, tags, model.codec, offsets=options.offsets)
                if options.explain:
                    row |= item.beside({"explanations": list(map(fields_of, explanations))})
                yield json_text(row) + "\n"
            elif format == "tsv":
                yield _table(document, tags)
            else:
                yield _conllu(item, document, tags, options.column, first_number=sentences + 1)
            sentences += len(document)

    answer(options, source, tagged, "sentences", header=page_header(options) if format == "html" else "")


def _explanations(model: SequenceTagger, document: Sequence[Sequence[Token]], method: str) -> list[Explanation]:
    """An explanation of the tag of each token."""
    return [
        explain(model, [_words(sentence)], position=position, method=method)[0]
        for sentence in document
        for position in range(len(sentence))
    ]


def refuse_columns(chunk: Sequence[Item], tags: Container[str]) -> None:
    """Refuses a column file that was read as texts.

    Raises:
        ZooError: every line has a word and ends in a tag of the model.
    """
    lines = [item.content for item in list(chunk)[:LINES] if isinstance(item.content, str)]
    fields = [line.split() for line in lines if line.strip()]
    if len(fields) >= 2 and all(len(line) > 1 and line[-1] in tags for line in fields):
        raise ZooError(
            f"expected a text a line, got lines that end in tags, such as {' '.join(fields[0])[:60]!r}, as a column "
            "file has them. Add --input_format columns; or --input_format text, if these are texts"
        )


def _words(sentence: Sequence[Token]) -> list[str]:
    return [token.text for token in sentence]


def _row(
    item: Item,
    document: Sequence[Sequence[Token]],
    tags: Sequence[Sequence[str]],
    codec: TaggingCodec,
    *,
    offsets: bool,
) -> dict[str, object]:
    """The answer to an item beside the columns of its row."""
    tokens = [token for sentence in document for token in sentence]
    all_tags = list(chain.from_iterable(tags))
    answer: dict[str, object] = {"tags": all_tags}
    if isinstance(item.content, str) or not item.fields:
        answer = {"tokens": _words(tokens), "tags": all_tags}
    if offsets:
        answer["offsets"] = [(token.start, token.end) for token in tokens]
        if codec.scheme is not None:
            found = tagged_spans(codec, item.content, all_tags, codec.scheme)
            answer["spans"] = [span._asdict() for span in found]
    return item.beside(answer)


def _table(document: Sequence[Sequence[Token]], tags: Sequence[Sequence[str]]) -> str:
    """One word and its tag per line. An empty line ends each sentence, and stands for a text without a word."""
    sentences = [
        "".join(f"{token.text}\t{tag}\n" for token, tag in zip(sentence, of_sentence, strict=True)) + "\n"
        for sentence, of_sentence in zip(document, tags, strict=True)
    ]
    return "".join(sentences) or "\n"


def _conllu(
    item: Item, document: Sequence[Sequence[Token]], tags: Sequence[Sequence[str]], column: str, *, first_number: int
) -> str:
    """The sentences of an item as CoNLL-U, which has no sentence without a word."""
    if item.sentence is not None:
        return item.sentence.with_column(column, list(chain.from_iterable(tags)))
    written = []
    for number, (sentence, of_sentence) in enumerate(zip(document, tags, strict=True), first_number):
        content = item.content
        if isinstance(content, str):
            content = content[sentence[0].start : sentence[-1].end]
        written.append(conllu_of(content, _words(sentence), number).with_column(column, of_sentence))
    return "".join(written)
