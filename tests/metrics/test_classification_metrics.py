"""Classification metrics equal those of scikit-learn; the temperature has the highest likelihood."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from zoo.errors import ZooError
from zoo.metrics.classification import ClassificationMetrics

LABELS = ["a", "b", "c"]


def scored(scores, gold, labels=LABELS, sizes=(2, 5), **options) -> ClassificationMetrics:
    metrics = ClassificationMetrics(labels, **options)
    rows = torch.arange(len(gold))
    for part in torch.tensor_split(torch.arange(len(gold)), sizes):
        if len(part):
            metrics.update(scores[part], gold[part], rows[part])
    return metrics


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_one_of_three_labels_agrees_with_scikit_learn(seed, size):
    torch.manual_seed(seed)
    scores, gold = torch.randn(size, 3), torch.randint(0, 3, (size,))
    metrics = scored(scores, gold)
    found, decided = metrics.compute(), scores.argmax(-1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert float(found["accuracy"]) == pytest.approx(accuracy_score(gold, decided))
        assert float(found["macro_f1"]) == pytest.approx(f1_score(gold, decided, average="macro"))
        columns = precision_recall_fscore_support(gold, decided, labels=range(3), zero_division=0)
    for score, *expected in zip(metrics.per_label(), *(column.tolist() for column in columns), strict=True):
        assert score[1:] == pytest.approx(expected)
    assert metrics.confusion().tolist() == confusion_matrix(gold, decided, labels=range(3)).tolist()
    assert set(found) == {"accuracy", "macro_f1", "ece"}


@pytest.mark.parametrize("positive", ["ham", "spam"])
def test_the_ranking_scores_are_those_of_the_positive_label(positive):
    torch.manual_seed(1)
    scores, gold = torch.randn(50, 2), torch.randint(0, 2, (50,))
    found = scored(scores, gold, ["ham", "spam"], positive=positive).compute()
    place = ["ham", "spam"].index(positive)
    chance, is_positive = scores.softmax(-1)[:, place], gold == place
    assert float(found["auroc"]) == pytest.approx(roc_auc_score(is_positive, chance))
    assert float(found["average_precision"]) == pytest.approx(average_precision_score(is_positive, chance))
    assert float(found["f1"]) == pytest.approx(f1_score(is_positive, scores.argmax(-1) == place))


@pytest.mark.parametrize("positive", ["a", "b"])
def test_texts_of_a_single_label_have_no_ranking_scores(positive):
    metrics = scored(torch.randn(4, 2), torch.zeros(4).long(), ["a", "b"], positive=positive)
    with pytest.warns(UserWarning, match="all texts are a: there is no auroc and no average_precision"):
        found = metrics.compute()
    assert set(found) == {"accuracy", "macro_f1", "ece", "f1"}


def test_several_labels_agree_with_scikit_learn():
    torch.manual_seed(2)
    scores, gold = torch.randn(30, 3), torch.randint(0, 2, (30, 3)).float()
    found, decided = scored(scores, gold, multi_label=True).compute(), scores > 0
    assert float(found["accuracy"]) == pytest.approx(accuracy_score(gold, decided))
    assert float(found["micro_f1"]) == pytest.approx(f1_score(gold, decided, average="micro"))
    assert float(found["macro_f1"]) == pytest.approx(f1_score(gold, decided, average="macro"))


def test_macro_f1_leaves_out_labels_that_never_occur():
    decided = torch.tensor([[5.0, -5.0, -5.0], [5.0, 5.0, -5.0]])
    gold = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert float(scored(decided, gold, multi_label=True).compute()["macro_f1"]) == pytest.approx(1 / 2)
    assert float(scored(decided[:1], gold[:1, 0].long() - 1).compute()["macro_f1"]) == 1


def test_the_calibration_error_is_confidence_minus_accuracy():
    scores = torch.tensor([[0.9, 0.1]]).log().repeat(10, 1)
    # The model is 90 % sure and right in 60 %.
    gold = torch.tensor([0] * 6 + [1] * 4)
    assert float(scored(scores, gold, ["a", "b"]).compute()["ece"]) == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("labels, multi_label", [("ab", False), ("abc", False), ("abc", True)])
def test_the_calibration_error_is_over_fifteen_bins(labels, multi_label):
    torch.manual_seed(4)
    scores = 2 * torch.randn(200, len(labels))
    # With several labels the probability of each counts, also a small one.
    if multi_label:
        gold = torch.randint(0, 2, scores.shape).float()
        confidence, correct = scores.sigmoid().flatten(), gold.flatten()
    else:
        gold = torch.randint(0, len(labels), (200,))
        confidence, decided = scores.softmax(-1).max(-1)
        correct = (decided == gold).float()
    bins = (15 * confidence).floor()
    assert len(bins.unique()) > 6
    expected = sum((confidence - correct)[bins == b].sum().abs() for b in bins.unique()) / len(bins)
    found = scored(scores, gold, list(labels), multi_label=multi_label).compute()["ece"]
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_temperature_has_the_highest_likelihood(multi_label):
    torch.manual_seed(3)
    # Overconfident scores.
    scores = 4 * torch.randn(300, 3)
    if multi_label:
        gold = torch.bernoulli((scores / 3).sigmoid())
    else:
        gold = torch.distributions.Categorical(logits=scores / 3).sample()

    def loss(temperature: float) -> float:
        if multi_label:
            return float(F.binary_cross_entropy_with_logits(scores / temperature, gold))
        return float(F.cross_entropy(scores / temperature, gold))

    found = scored(scores, gold, multi_label=multi_label).best_temperature()
    assert 2 < found < 4.5
    assert all(loss(found) <= loss(found * factor) for factor in (0.5, 0.98, 1.02, 2.0))


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_scaled_logits_have_a_scaled_temperature(factor):
    torch.manual_seed(5)
    scores = torch.randn(300, 3)
    gold = torch.distributions.Categorical(logits=scores).sample()
    found, scaled = (scored(s, gold).best_temperature() for s in (scores, factor * scores))
    assert 0.8 < found < 1.25 and scaled == pytest.approx(factor * found, rel=0.01)


def test_perfect_predictions_have_a_finite_temperature():
    gold = torch.tensor([0, 1, 2])
    assert 0 < scored(F.one_hot(gold).float(), gold).best_temperature() < 1


def test_predictions_are_in_the_order_of_their_rows():
    metrics = ClassificationMetrics(LABELS)
    metrics.update(torch.eye(3)[[2, 0]], torch.tensor([2, 0]), torch.tensor([2, 0]))
    metrics.update(torch.eye(3)[[1]], torch.tensor([1]), torch.tensor([1]))
    kept = metrics.predictions()
    assert kept.rows.tolist() == kept.gold.tolist() == kept.probabilities.argmax(-1).tolist() == [0, 1, 2]


def test_reset_forgets_all_batches():
    metrics = scored(torch.eye(3), torch.tensor([1, 2, 0]))
    metrics.reset()
    metrics.update(torch.eye(3), torch.arange(3), torch.arange(3))
    assert metrics.compute()["accuracy"] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(value):
    scores = torch.zeros(4, 3)
    scores[2, 1] = value
    with pytest.raises(ZooError, match="diverged"):
        scored(scores, torch.zeros(4, dtype=torch.long)).compute()
