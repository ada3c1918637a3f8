"""What `zoo.explain` returns: the tokens of a text with their attributions, as data, as a picture and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.explanation.coloured_words import coloured_words
from zoo.explanation.pictures import draw_attributions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What the scores of a method are called in a picture.
UNITS = {"attention": "attention weight"}


@dataclass(frozen=True)
class Explanation:
    """How much each token of a text adds to one score of a model.

    In a notebook it is shown as its text with coloured words: blue for the target, orange against it.

    Attributes:
        tokens: T tokens, as the model reads them.
        attributions: of each token: what it adds to the score, or with the method "attention" its weight.
        target: the label, tag or word whose score it is.
        method: a key of `zoo.explanation.methods.METHODS`.
        score: of the text. It is the log-odds of a label or tag, and the log-probability of a word.
        baseline_score: of as many zero vectors as the text has tokens.
        position: the place of the tag among the tokens, or of the word in the output; None for a label.
    """

    tokens: tuple[str, ...]
    attributions: tuple[float, ...]
    target: str
    method: str
    score: float
    baseline_score: float
    position: int | None = None

    @property
    def completeness_gap(self) -> float:
        """By how much the sum of the attributions misses `score - baseline_score`, as a fraction of the latter.

        Integrated gradients have a gap of less than 0.01 with 50 steps; more steps make it smaller. No other method
        promises a small gap, and attention weights have none that means anything.
        """
        difference = self.score - self.baseline_score
        missed = abs(sum(self.attributions) - difference)
        return missed / abs(difference) if difference else float("inf") * missed if missed else 0.0

    def strongest(self, number: int = 5) -> list[str]:
        """The tokens with the largest attributions, for the target or against it, the largest first."""
        ranked = sorted(zip(self.attributions, self.tokens, strict=True), key=lambda pair: -abs(pair[0]))
        return [token for _, token in ranked[:number]]

    def figure(self) -> Figure:
        """A bar for each token, as a picture of matplotlib (extra `train`).

        Of a text with more than 40 tokens, it has those with the largest attributions.
        """
        return draw_attributions(self.tokens, self.attributions, self._title(), UNITS.get(self.method, "attribution"))

    def html(self) -> str:
        """The text with coloured words, as a `<div>` that is readable on light and on dark pages."""
        return coloured_words(self.tokens, self.attributions, self._title())

    def _repr_html_(self) -> str:
        return self.html()

    def _title(self) -> str:
        place = "" if self.position is None else f" at {self.position}"
        return f"{self.target}{place} ({self.method.replace('_', ' ')})"
