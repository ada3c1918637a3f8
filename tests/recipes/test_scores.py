"""Scores of resampled examples: they equal the metrics, their intervals are sound, and comparisons are fair."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from recipes.reports.examples import ScoredExample, read_examples
from recipes.reports.scores.resampling import RESAMPLINGS, differences, intervals, score_of_sums, values_of
from recipes.reports.scores.sums import ratio_score
from recipes.reports.scores.tasks import scores_of
from zoo.errors import ZooError
from zoo.metrics.classification import ClassificationMetrics
from zoo.metrics.generation import SCORES
from zoo.metrics.tagging import TaggingMetrics

OUTPUTS = ["the old dog sleeps", "a cat", "zebra eats a quagga", "", "dogs and cats_mice"]
REFERENCES = ["the dog sleeps here now", "a cat", "zebra eats the grass", "nothing", "cats_dogs"]


def text_examples(outputs=OUTPUTS) -> list[ScoredExample]:
    return [
        ScoredExample(row, "source", gold, found, loss=0.5 + row, tokens=row + 1)
        for row, (found, gold) in enumerate(zip(outputs, REFERENCES, strict=True))
    ]


def classified(size: int, labels: list[str], *, multi_label: bool) -> tuple[list[ScoredExample], dict[str, float]]:
    """Random answers, and their scores by torchmetrics."""
    torch.manual_seed(0)
    # Rounded probabilities have equal ones among them.
    logits = (2 * torch.randn(size, len(labels))).round()
    gold = torch.randint(2, (size, len(labels))) if multi_label else torch.randint(len(labels) - 1, (size,))
    positive = labels[1] if len(labels) == 2 else None
    metrics = ClassificationMetrics(labels, positive, multi_label=multi_label)
    metrics.update(logits, gold, torch.arange(size))
    probabilities = metrics.predictions().probabilities
    decided = metrics.decide(probabilities)

    def named(ids):
        return [label for label, has in zip(labels, ids, strict=True) if has] if multi_label else labels[int(ids)]

    examples = [
        ScoredExample(row, "", named(gold[row]), named(decided[row]), 1.0, 1, {"probabilities": of_row.tolist()})
        for row, of_row in enumerate(probabilities)
    ]
    return examples, {name: float(value) for name, value in metrics.compute().items()}


@pytest.mark.parametrize("labels, multi_label", [("ab", False), ("abcd", False), ("abc", True)])
def test_scores_of_a_classifier_are_those_of_its_metrics(labels, multi_label):
    labels = list(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples, expected = classified(60, labels, multi_label=multi_label)
    positive = labels[1] if len(labels) == 2 else None
    task = {"kind": "classification", "labels": labels, "positive": positive, "multi_label": multi_label}
    found = values_of(scores_of(examples, task), len(examples))
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scheme", [None, "BIO"])
def test_scores_of_a_tagger_are_those_of_its_metrics(scheme):
    dice = np.random.default_rng(0)
    tags = ["O", "B-X", "I-X", "B-Y", "I-Y"]
    metrics = TaggingMetrics(tags, scheme)
    examples = []
    for row in range(40):
        length = int(dice.integers(1, 9))
        # A gold id of 5 is a tag that is not in the training data.
        gold, found = dice.integers(6, size=length), dice.integers(5, size=length)
        unknown = dice.random(length) < 0.3
        batch = (torch.from_numpy(part)[None] for part in (found, gold))
        metrics.update(*batch, torch.tensor([length]), torch.from_numpy(unknown)[None])
        examples.append(
            ScoredExample(
                row,
                ["w"] * length,
                gold=[[*tags, "B-Z"][i] for i in gold],
                predicted=[tags[i] for i in found],
                loss=1.0,
                tokens=length,
                details={"unknown": unknown.nonzero()[0].tolist()},
            )
        )
    expected = {name: float(value) for name, value in metrics.compute().items()}
    found = values_of(scores_of(examples, {"kind": "tagging", "labels": tags, "scheme": scheme}), len(examples))
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", SCORES)
def test_scores_of_texts_are_those_of_their_metrics(metric):
    task = {"kind": "generation", "metric": metric, "language": "en"}
    found = values_of(scores_of(text_examples(), task), len(OUTPUTS))
    expected = SCORES[metric](OUTPUTS, REFERENCES, "en")
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["loss"] == pytest.approx(47.5 / 15) and found["perplexity"] == pytest.approx(np.exp(found["loss"]))


def test_intervals_contain_the_score_and_shrink_with_more_examples():
    right = np.arange(6400) % 4 > 0
    widths = []
    for size in (100, 1600, 6400):
        one = intervals({"accuracy": ratio_score(right[:size], np.ones(size))}, size)["accuracy"]
        assert one.low <= one.value == 0.75 <= one.high
        widths.append(one.high - one.low)
        # The normal approximation of a proportion.
        assert widths[-1] == pytest.approx(2 * 1.96 * (0.75 * 0.25 / size) ** 0.5, rel=0.15)
    assert widths == sorted(widths, reverse=True)


def test_every_resampling_draws_as_many_examples_as_there_are():
    drawn = []
    scores = {"size": score_of_sums(np.ones((7, 1)), lambda sums: drawn.extend(sums[:, 0]) or sums[:, 0])}
    intervals(scores, 7)
    assert len(drawn) == RESAMPLINGS + 1 and set(drawn) == {7.0}
    with pytest.raises(ZooError, match="expected examples to resample"):
        intervals(scores, 0)


def test_a_paired_test_is_symmetric_and_finds_no_difference_between_equals():
    dice = np.random.default_rng(1)
    ours, theirs = (ratio_score(dice.random(300) < p, np.ones(300)) for p in (0.8, 0.7))
    one = differences({"a": ours}, {"a": theirs, "b": theirs}, 300)
    other = differences({"a": theirs, "b": theirs}, {"a": ours}, 300)
    assert list(one) == list(other) == ["a"]
    assert one["a"].p == other["a"].p < 0.05
    assert one["a"].interval.value == -other["a"].interval.value > 0
    assert one["a"].interval.low == pytest.approx(-other["a"].interval.high)
    same = differences({"a": ours}, {"a": ours}, 300)["a"]
    assert same.p == 1 and same.interval.low == same.interval.high == 0


def test_a_test_of_equal_models_is_rarely_significant():
    dice = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        ours, theirs = (ratio_score(dice.random(200) < 0.7, np.ones(200)) for _ in range(2))
        found += differences({"a": ours}, {"a": theirs}, 200)["a"].p < 0.05
    # 5 are expected; 13 or more have a probability below 0.001.
    assert found < 13


def test_a_shared_run_has_intervals_around_its_scores(trained):
    facts = json.loads((trained / "metrics.json").read_text("utf-8"))
    examples = list(read_examples(trained / "examples.jsonl"))
    found = intervals(scores_of(examples, facts["task"]), len(examples))
    for name in ("accuracy", "unknown_accuracy", "sentence_accuracy", "macro_f1"):
        assert found[name].value == pytest.approx(facts["scores"][f"test/{name}"], abs=1e-6)
        assert found[name].low <= found[name].value <= found[name].high


def test_examples_of_another_task_are_refused():
    task = {"kind": "classification", "labels": ["a", "b"], "positive": None, "multi_label": False}
    with pytest.raises(ZooError, match="expected the examples of classification"):
        scores_of(text_examples(), task)
    with pytest.raises(ZooError, match="expected a task among tagging, classification"):
        scores_of([], {"kind": "parsing"})
    with pytest.raises(ZooError, match="expected the examples of tagging"):
        scores_of([replace(text_examples()[0], predicted=["X"])], {"kind": "tagging", "labels": [], "scheme": None})
