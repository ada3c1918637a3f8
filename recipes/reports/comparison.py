"""Compares the outputs of two models by paired bootstrap resampling."""

from __future__ import annotations

from collections.abc import Mapping

from recipes.reports.scores.generation import text_scores
from recipes.reports.scores.resampling import differences
from zoo.errors import ZooError
from zoo.metrics.generation import TextMetrics


def compare(metrics: TextMetrics, others: TextMetrics) -> Mapping[str, object]:
    """Compares two models that were scored on the same pairs.

    Args:
        metrics: the metrics of the last evaluation of one model.
        others: the metrics of the last evaluation of the other model.

    Returns:
        The difference of each score, and as "p" how probable so large a difference is if neither model is better.

    Raises:
        ZooError: the pairs are not the same.
    """
    ours = metrics.written()
    theirs = others.written()
    if [w.pair for w in ours] != [w.pair for w in theirs]:
        raise ZooError("two models can be compared only on the same pairs: use the same data for both")
    references = [w.pair.target for w in ours]
    our_scores, their_scores = (
        text_scores([w.output for w in written], references, metrics.metric, metrics.language)
        for written in (ours, theirs)
    )
    found = differences(our_scores, their_scores, len(references))
    return {name: {"difference": one.interval.value, "p": one.p} for name, one in found.items()}
