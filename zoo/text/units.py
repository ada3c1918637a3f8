"""The units that a model reads at a time, sentences or whole texts, and how the outputs of units are joined."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from zoo.text.characters import CHINESE_OR_JAPANESE
from zoo.text.sentences import WIDE_CLOSING, WIDE_MARKS, split_sentences

UNITS = ("sentence", "text")
# The end of a text after which no space follows, as in Chinese and Japanese.
UNSPACED_END = re.compile(rf"[{CHINESE_OR_JAPANESE}{WIDE_MARKS}，、；：」』》）】]['\"”’{re.escape(WIDE_CLOSING)}]*$")


class Output(NamedTuple):
    """A generated text, the score that the search ranks it by, and the model's log-probability of it.

    The output of several sentences has the sums of their scores and log-probabilities.
    """

    text: str
    score: float
    log_probability: float


class WrittenUnit(NamedTuple):
    """The text that is written for one unit of a text; `text_read[start:end]` is the unit."""

    text: str
    start: int
    end: int


def split_units(text: str, unit: str) -> list[str]:
    """The units of a text, each with the white space behind it; units of only white space are left out.

    >>> split_units("I came. I saw.", "sentence")
    ['I came. ', 'I saw.']
    >>> split_units("I came. I saw.", "text")
    ['I came. I saw.']
    """
    parts = split_sentences(text) if unit == "sentence" else [text]
    return [part for part in parts if part.strip()]


def join_outputs(units: Sequence[str], outputs: Sequence[Sequence[Output]], n_best: int) -> list[Output]:
    """The best outputs for a whole text, the best first.

    Args:
        units: the units of the text, as `split_units` returns them.
        outputs: the outputs for each unit, the best first.
        n_best: the number of outputs to return.
    """
    if not units:
        return [Output("", 0.0, 0.0)]
    best = list(outputs[0])
    for before, following in zip(units, outputs[1:], strict=False):
        # The best sums only have parts among the best: no pair that is left out here could be needed later.
        pairs = [_joined(one, other, before) for one, other in product(best, following)]
        best = sorted(pairs, key=lambda output: -output.score)[:n_best]
    return best


def place_outputs(text: str, units: Sequence[str], outputs: Sequence[Sequence[Output]]) -> list[WrittenUnit]:
    """The best output for each unit of a text, with the place of the unit, without the white space around it.

    Args:
        text: the text.
        units: its units, as `split_units` returns them.
        outputs: the outputs for each unit, the best first.
    """
    placed = []
    place = 0
    for unit, (best, *_) in zip(units, outputs, strict=True):
        start = text.index(unit.strip(), place)
        place = start + len(unit.strip())
        placed.append(WrittenUnit(best.text, start, place))
    return placed


def _joined(one: Output, other: Output, unit: str) -> Output:
    space = unit[len(unit.rstrip()) :]
    if "\n" not in space:
        space = "" if UNSPACED_END.search(one.text) else " "
    text = one.text + space + other.text if one.text and other.text else one.text or other.text
    return Output(text, one.score + other.score, one.log_probability + other.log_probability)
