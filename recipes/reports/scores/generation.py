"""Scores of generated texts as functions of how often each text is drawn.

Shapes: N texts, R resamplings, S sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu import CHRF
from sacrebleu.metrics.base import Metric

from recipes.reports.scores.resampling import Array, Score, score_of_sums
from recipes.reports.scores.sums import ratio_score
from zoo.metrics.generation import bleu_metric, composed, keyword_counts, rouge_by_text


def text_scores(outputs: Sequence[str], references: Sequence[str], metric: str, language: str) -> dict[str, Score]:
    """The scores of `zoo.metrics.generation.SCORES`.

    Args:
        outputs: N texts.
        references: their references.
        metric: "bleu", "rouge" or "keywords".
        language: a tag of BCP 47.

    Raises:
        ZooError: the language is unknown.
    """
    if metric == "bleu":
        found = [composed(text) for text in outputs]
        gold = [composed(text) for text in references]
        return {"bleu": _corpus_score(bleu_metric(language), found, gold), "chrf": _corpus_score(CHRF(), found, gold)}
    if metric == "keywords":
        counts = np.array([keyword_counts(*pair) for pair in zip(outputs, references, strict=True)], dtype=np.float64)
        matched, predicted, in_gold = counts.T
        return {
            "keyword_f1": ratio_score(2 * matched, predicted + in_gold),
            "keyword_precision": ratio_score(matched, predicted),
            "keyword_recall": ratio_score(matched, in_gold),
        }
    by_text = rouge_by_text(outputs, references, language)
    return {name: ratio_score(np.array(values), np.ones(len(values))) for name, values in by_text.items()}


def _corpus_score(metric: Metric, outputs: Sequence[str], references: Sequence[str]) -> Score:
    """A score of sacrebleu, which computes it from sums over the texts, too."""
    # Sacrebleu's own tests of significance use these two methods. Its public ones take texts, and read them again for
    # every resampling.
    counts = np.array(metric._extract_corpus_statistics(outputs, [references]), dtype=np.float64)

    def value(sums: Array) -> Array:
        # Rounded, as each product of weights and counts is a whole number.
        return np.array(
            [metric._compute_score_from_stats(row).score / 100 for row in sums.round().astype(int).tolist()]
        )

    return score_of_sums(counts, value)
