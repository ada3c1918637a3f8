"""Examples as a page shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recipes.reports.examples import ScoredExample

# Longer texts are cut. The file of all examples has the whole ones.
LONGEST = 700
# The most improbable labels of a text are not named.
PROBABILITIES = 3


@dataclass(frozen=True)
class Word:
    """A word of a sentence, and its tags if the predicted one is wrong."""

    text: str
    gold: str = ""
    predicted: str = ""
    unknown: bool = False


@dataclass(frozen=True)
class Answer:
    """A label, or a word of a language model."""

    text: str
    wrong: bool


@dataclass(frozen=True)
class ExampleView:
    """The parts of an example that are shown; those that its task does not have are empty."""

    row: int
    loss: str
    source: str = ""
    words: list[Word] = field(default_factory=list)
    unspaced: bool = False
    answers: list[Answer] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def view(example: ScoredExample, task: Mapping[str, Any]) -> ExampleView:
    """The view of an example of a task."""
    loss = "" if math.isnan(example.loss) else f"{example.loss:.3f}"
    kind = task["kind"]
    if kind == "tagging":
        return _sentence(example, loss)
    if kind == "classification":
        return _classified(example, loss, task["labels"])
    if kind == "generation":
        lines = [("source", example.source), ("reference", example.gold), ("output", example.predicted)]
        return ExampleView(example.row, loss, lines=[(name, cut(str(text))) for name, text in lines])
    surprises = [Answer(f"{token}  {nats:.1f}", wrong=False) for token, nats in example.details["surprises"]]
    return ExampleView(example.row, loss, source=cut(str(example.source)), answers=surprises)


def _sentence(example: ScoredExample, loss: str) -> ExampleView:
    unknown = set(example.details["unknown"])
    words = []
    tagged = zip(example.source, example.gold or (), example.predicted or (), strict=True)
    for place, (text, gold, predicted) in enumerate(tagged):
        wrong = gold != predicted
        words.append(Word(text, gold if wrong else "", predicted if wrong else "", unknown=place in unknown))
    mistakes = sum(bool(word.predicted) for word in words)
    notes = [f"{mistakes} of {len(words)} tokens wrong" if mistakes else "all right"]
    return ExampleView(example.row, loss, words=words, unspaced=_is_unspaced(example.source), notes=notes)


def _classified(example: ScoredExample, loss: str, labels: Sequence[str]) -> ExampleView:
    probabilities = dict(zip(labels, example.details["probabilities"], strict=True))
    gold = [example.gold] if isinstance(example.gold, str) else list(example.gold or ())
    predicted = [example.predicted] if isinstance(example.predicted, str) else list(example.predicted or ())
    answers = [Answer(f"gold {label}  {probabilities[label]:.3f}", wrong=False) for label in gold]
    answers += [
        Answer(f"predicted {label}  {probabilities[label]:.3f}", wrong=True) for label in predicted if label not in gold
    ]
    notes = ["right" if example.right else "wrong"]
    return ExampleView(example.row, loss, source=cut(str(example.source)), answers=answers, notes=notes)


def cut(text: str) -> str:
    """A text of at most `LONGEST` characters."""
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


def _is_unspaced(words: Sequence[str]) -> bool:
    """Whether most words are single characters beyond the alphabets, as in Chinese."""
    return 2 * sum(len(word) == 1 and ord(word) > 0x2E7F for word in words) > len(words)


@dataclass(frozen=True)
class ComparedWord:
    """A word of a sentence; where the runs differ, its gold tag and that of each run."""

    text: str
    gold: str = ""
    tags: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class ComparedAnswer:
    """The answer of a run to an example."""

    text: str
    loss: str
    right: bool


@dataclass(frozen=True)
class ComparedExample:
    """An example and the answers of several runs."""

    row: int
    source: str
    gold: str
    words: list[ComparedWord]
    unspaced: bool
    answers: list[ComparedAnswer]


def compared(runs: Sequence[Sequence[ScoredExample]], task: Mapping[str, Any], number: int) -> list[ComparedExample]:
    """The examples on which the losses of runs differ most.

    Args:
        runs: the same examples, scored by each run.
        task: the facts of their task.
        number: how many to return.
    """

    def spread(answers: Sequence[ScoredExample]) -> float:
        losses = [one.loss for one in answers if not math.isnan(one.loss)]
        return max(losses) - min(losses) if losses else 0.0

    columns = list(zip(*runs, strict=True))
    # Where the answers differ, the losses are more telling.
    columns.sort(key=lambda answers: (len({str(one.predicted) for one in answers}) == 1, -spread(answers)))
    return [_compared(answers, task["kind"]) for answers in columns[:number]] if task.get("kind") else []


def _compared(answers: Sequence[ScoredExample], kind: str) -> ComparedExample:
    first = answers[0]
    words = []
    if kind == "tagging":
        tags = zip(*(one.predicted or () for one in answers), strict=True)
        for text, gold, of_runs in zip(first.source, first.gold or (), tags, strict=True):
            differ = len(set(of_runs)) > 1
            words.append(ComparedWord(text, gold if differ else "", list(enumerate(of_runs)) if differ else []))
    shown = []
    for one in answers:
        loss = "" if math.isnan(one.loss) else f"{one.loss:.3f}"
        text = "" if kind == "tagging" else cut(_joined(one.predicted))
        shown.append(ComparedAnswer(text, loss, right=one.gold is not None and one.right))
    source = "" if kind == "tagging" else cut(str(first.source))
    gold = "" if kind == "tagging" else cut(_joined(first.gold))
    return ComparedExample(first.row, source, gold, words, _is_unspaced(first.source), shown)


def _joined(content: object) -> str:
    if isinstance(content, list):
        return ", ".join(content) or "none"
    return "" if content is None else str(content)
