"""Compares the outputs of two models by paired bootstrap resampling (Koehn 2004)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from sacrebleu import CHRF
from sacrebleu.significance import PairedTest, Result

from recipes.runner.recipe import instance
from zoo.errors import ZooError
from zoo.metrics.generation import TextMetrics, bleu_metric, composed, keywords, rouge_by_text

RESAMPLINGS = 1000
Differences = dict[str, dict[str, float | None]]


def compare(metrics: TextMetrics, others: TextMetrics) -> Mapping[str, object]:
    """Compares two models that were scored on the same pairs.

    Args:
        metrics: the metrics of the last evaluation of one model.
        others: the metrics of the last evaluation of the other model.

    Returns:
        The difference of each score, and as "p" the fraction of resamplings whose difference has another sign.

    Raises:
        ZooError: the pairs are not the same.
    """
    ours = metrics.written()
    theirs = others.written()
    if [w.pair for w in ours] != [w.pair for w in theirs]:
        raise ZooError("two models can be compared only on the same pairs: use the same data for both")
    references = [w.pair.target for w in ours]
    our_outputs = [w.output for w in ours]
    their_outputs = [w.output for w in theirs]
    if metrics.metric == "bleu":
        return _compare_bleu(our_outputs, their_outputs, references, language=metrics.language)
    dice = random.Random(0)
    draws = [dice.choices(range(len(ours)), k=len(ours)) for _ in range(RESAMPLINGS)]
    if metrics.metric == "keywords":
        return _compare_keywords(our_outputs, their_outputs, references, language=metrics.language, draws=draws)
    return _compare_rouge(our_outputs, their_outputs, references, language=metrics.language, draws=draws)


def _compare_bleu(
    ours: Sequence[str], theirs: Sequence[str], references: Sequence[str], *, language: str
) -> Differences:
    test = PairedTest(
        [("other", [composed(text) for text in theirs]), ("model", [composed(text) for text in ours])],
        {"bleu": bleu_metric(language), "chrf": CHRF()},
        [[composed(text) for text in references]],
        test_type="bs",
        n_samples=RESAMPLINGS,
    )
    _, found = test()
    results = [scores for key, scores in found.items() if key != "System"]
    differences = {}
    for name, (other, model) in zip(("bleu", "chrf"), results, strict=True):
        model = instance(model, Result)
        other = instance(other, Result)
        differences[name] = {"difference": (model.score - other.score) / 100, "p": model.p_value}
    return differences


def _compare_keywords(
    ours: Sequence[str],
    theirs: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    draws: Sequence[Sequence[int]],
) -> Differences:
    def difference(rows: Sequence[int]) -> float:
        drawn_references = [references[i] for i in rows]
        our_score = keywords([ours[i] for i in rows], drawn_references, language)["keyword_f1"]
        their_score = keywords([theirs[i] for i in rows], drawn_references, language)["keyword_f1"]
        return our_score - their_score

    return {"keyword_f1": _difference(difference(range(len(ours))), [difference(draw) for draw in draws])}


def _compare_rouge(
    ours: Sequence[str],
    theirs: Sequence[str],
    references: Sequence[str],
    *,
    language: str,
    draws: Sequence[Sequence[int]],
) -> Differences:
    our_scores = rouge_by_text(ours, references, language)
    their_scores = rouge_by_text(theirs, references, language)
    differences = {}
    for name in our_scores:
        by_text = [a - b for a, b in zip(our_scores[name], their_scores[name], strict=True)]
        resampled = [sum(by_text[i] for i in draw) / len(by_text) for draw in draws]
        differences[name] = _difference(sum(by_text) / len(by_text), resampled)
    return differences


def _difference(difference: float, resampled: Sequence[float]) -> dict[str, float | None]:
    """A difference and the fraction of resampled differences with another sign; the difference itself counts as one."""
    other_sign = sum(value * difference <= 0 for value in resampled)
    return {"difference": difference, "p": (other_sign + 1) / (len(resampled) + 1)}
