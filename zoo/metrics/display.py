"""What a logged score means: whether a higher value is better, and how the value is printed.

Checkpoints, reports and figures ask here and nowhere else. A metric that logs a new score adds its name to `FORMATS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.errors import ZooError, unknown_name


@dataclass(frozen=True)
class ScoreFormat:
    """How the values of one score are compared and printed."""

    higher_is_better: bool | None
    """False for losses and errors; None for a description of the output that is neither good nor bad."""

    percent: bool
    """Whether a value is a fraction that is printed as a percentage."""

    decimals: int
    """Digits that are printed after the decimal point."""

    @property
    def scale(self) -> int:
        """The factor from a value to the number that is printed."""
        return 100 if self.percent else 1

    @property
    def unit(self) -> str:
        """The unit of the number that is printed; empty for a plain number."""
        return "%" if self.percent else ""

    def number(self, value: float) -> str:
        """The value without its unit: `97.25`; `none` for a NaN, which stands for a score that does not exist."""
        if math.isnan(value):
            return "none"
        return f"{self.scale * value:.{self.decimals}f}"

    def text(self, value: float) -> str:
        """The value with its unit: `97.25 %`."""
        number = self.number(value)
        return f"{number} {self.unit}" if self.unit and not math.isnan(value) else number


QUALITY = ScoreFormat(higher_is_better=True, percent=True, decimals=2)
ERROR = ScoreFormat(higher_is_better=False, percent=True, decimals=2)
DESCRIPTION = ScoreFormat(higher_is_better=None, percent=True, decimals=2)
LOSS = ScoreFormat(higher_is_better=False, percent=False, decimals=4)
PERPLEXITY = ScoreFormat(higher_is_better=False, percent=False, decimals=2)
UNLISTED = ScoreFormat(higher_is_better=None, percent=False, decimals=4)

FORMATS: dict[str, ScoreFormat] = {
    "loss": LOSS,
    "perplexity": PERPLEXITY,
    "word_perplexity": PERPLEXITY,
    "bits_per_character": LOSS,
    "accuracy": QUALITY,
    "macro_f1": QUALITY,
    # Taggers.
    "unknown_accuracy": QUALITY,
    "sentence_accuracy": QUALITY,
    "span_precision": QUALITY,
    "span_recall": QUALITY,
    "span_f1": QUALITY,
    # Classifiers.
    "micro_f1": QUALITY,
    "f1": QUALITY,
    "auroc": QUALITY,
    "average_precision": QUALITY,
    "ece": ERROR,
    # Models that write text.
    "bleu": QUALITY,
    "chrf": QUALITY,
    "rouge1": QUALITY,
    "rouge2": QUALITY,
    "rougeL": QUALITY,
    "keyword_f1": QUALITY,
    "keyword_precision": QUALITY,
    "keyword_recall": QUALITY,
    # What their output consists of.
    "copied 1-grams": DESCRIPTION,
    "copied 2-grams": DESCRIPTION,
    "copied 3-grams": DESCRIPTION,
    "novel 1-grams": DESCRIPTION,
    "novel 2-grams": DESCRIPTION,
    "novel 3-grams": DESCRIPTION,
    "repeated 2-grams": DESCRIPTION,
    "length ratio": DESCRIPTION,
}


def score_format(name: str) -> ScoreFormat:
    """The format of a score, with or without the stage before it (`val/accuracy`); a plain number if it is unlisted."""
    return FORMATS.get(_without_stage(name), UNLISTED)


def higher_is_better(name: str) -> bool:
    """Whether a higher value of a score is better, such as one that chooses a checkpoint.

    Args:
        name: with or without the stage before it, as in `val/accuracy`.

    Raises:
        ZooError: the score has no entry in `FORMATS`, or one without a direction.
    """
    direction = score_format(name).higher_is_better
    if direction is None:
        directed = [known for known, format in FORMATS.items() if format.higher_is_better is not None]
        error = unknown_name("score to compare by", _without_stage(name), directed)
        raise ZooError(f"{error}. Add a score of your own to zoo.metrics.display.FORMATS")
    return direction


def _without_stage(name: str) -> str:
    return name.rpartition("/")[2]
