"""What a model that writes reads at a time, and how outputs of a text's sentences become one output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from zoo.text.characters import CHINESE_OR_JAPANESE
from zoo.text.sentences import WIDE_CLOSING, WIDE_MARKS, split_sentences

UNITS = ("sentence", "text")
# No space follows a character of these, as none does in Chinese and Japanese.
SPACELESS = re.compile(rf"[{CHINESE_OR_JAPANESE}{WIDE_MARKS}，、；：」』》）】]['\"”’{re.escape(WIDE_CLOSING)}]*$")


class Output(NamedTuple):
    """A text with its score, and with the model's own log-probability of it; of several sentences these are sums."""

    text: str
    score: float
    log_probability: float


def split_units(text: str, unit: str) -> list[str]:
    """What a model that reads a `unit` at a time reads of a text, the white space behind each included."""
    parts = split_sentences(text) if unit == "sentence" else [text]
    return [part for part in parts if part.strip()]


def join_outputs(units: Sequence[str], outputs: Sequence[Sequence[Output]], n_best: int) -> list[Output]:
    """The best outputs of a whole text, best first.

    Args:
        units: what was read, as `split_units` gives it.
        outputs: those of each unit, best first.
        n_best: how many are wanted.
    """
    if not units:
        return [Output("", 0.0, 0.0)]
    best = list(outputs[0])
    for before, following in zip(units, outputs[1:], strict=False):
        # The best of sums are sums of the best: nothing that is left out here could come back later.
        pairs = [_joined(one, other, before) for one, other in product(best, following)]
        best = sorted(pairs, key=lambda output: -output.score)[:n_best]
    return best


def _joined(one: Output, other: Output, unit: str) -> Output:
    space = unit[len(unit.rstrip()) :]
    if "\n" not in space:
        space = "" if SPACELESS.search(one.text) else " "
    text = one.text + space + other.text if one.text and other.text else one.text or other.text
    return Output(text, one.score + other.score, one.log_probability + other.log_probability)
