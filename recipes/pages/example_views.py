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


def visible(value: object) -> object:
    """A value for HTML: texts without the characters that HTML does not have.

    Control characters become their pictures (U+2400 and following), and lone surrogates their escapes. Texts that are
    HTML already, such as a chart, have been made of such texts.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if value.isprintable():
        return value
    return value.translate(PICTURES).encode("utf-8", "backslashreplace").decode("utf-8")


# Tabs and ends of lines are white space in HTML, too.
PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n\r"} | {0x7F: 0x2421}
PICTURES |= dict.fromkeys(range(128, 160), 65533)
