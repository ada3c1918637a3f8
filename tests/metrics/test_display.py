"""Every logged score says whether a higher value is better, and how it is printed."""

from __future__ import annotations

import pytest
import torch

from zoo.batches.seq2seq import Pair
from zoo.errors import ZooError
from zoo.metrics.classification import ClassificationMetrics
from zoo.metrics.display import FORMATS, ScoreFormat, higher_is_better, score_format
from zoo.metrics.generation import SCORES, TextMetrics, Written
from zoo.metrics.tagging import TaggingMetrics


def tagging_metric() -> TaggingMetrics:
    metric = TaggingMetrics(["O", "B-x", "I-x"], "BIO")
    ids = torch.tensor([[0, 1, 2]])
    metric.update(ids, ids, torch.tensor([3]), torch.tensor([[True, False, False]]))
    return metric


def two_label_metric() -> ClassificationMetrics:
    metric = ClassificationMetrics(["ham", "spam"], positive="spam")
    metric.update(torch.eye(2), torch.tensor([0, 1]), torch.arange(2))
    return metric


def multi_label_metric() -> ClassificationMetrics:
    metric = ClassificationMetrics(["a", "b", "c"], multi_label=True)
    metric.update(torch.eye(3), torch.eye(3), torch.arange(3))
    return metric


def text_metric(name: str) -> TextMetrics:
    metric = TextMetrics(name, "en")
    metric.update([Written(row=0, pair=Pair("a", "b"), output="b")], torch.tensor(1.0), torch.tensor([1]))
    return metric


METRICS = {
    "tagging": tagging_metric,
    "two labels": two_label_metric,
    "several labels": multi_label_metric,
    **{name: lambda name=name: text_metric(name) for name in SCORES},
}


@pytest.mark.parametrize("kind", METRICS)
def test_every_score_has_a_direction_that_agrees_with_its_class(kind):
    metric = METRICS[kind]()
    directions = {higher_is_better(f"val/{name}") for name in metric.compute()}
    of_the_class = {True, False} if metric.higher_is_better is None else {metric.higher_is_better}
    assert directions == of_the_class


def test_losses_are_plain_numbers_and_better_when_lower():
    for name, text in (("train/loss", "12.3457"), ("val/perplexity", "12.35")):
        assert not higher_is_better(name)
        assert score_format(name).text(12.34567) == text
    assert not higher_is_better("ece")
    assert score_format("test/ece").text(0.0123) == "1.23 %"


def test_fractions_are_printed_as_percentages():
    format = score_format("test/accuracy")
    assert format.text(0.97254) == "97.25 %"
    assert format.number(0.97254) == "97.25"
    assert (format.scale, format.unit) == (100, "%")


def test_a_score_that_does_not_exist_is_printed_as_none():
    assert score_format("test/f1").text(float("nan")) == score_format("loss").text(float("nan")) == "none"


def test_an_unlisted_score_is_a_plain_number_that_cannot_be_compared(monkeypatch):
    assert score_format("val/mine").text(0.5) == "0.5000"
    with pytest.raises(ZooError, match="'acuracy': did you mean 'accuracy'.*Add a score of your own"):
        higher_is_better("val/acuracy")
    with pytest.raises(ZooError, match="length ratio"):
        higher_is_better("length ratio")
    monkeypatch.setitem(FORMATS, "mine", ScoreFormat(higher_is_better=False, percent=False, decimals=1))
    assert not higher_is_better("val/mine")
    assert score_format("mine").text(0.5) == "0.5"
