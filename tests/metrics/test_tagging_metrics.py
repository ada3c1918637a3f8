"""Tagging metrics equal those of scikit-learn and seqeval, and do not depend on padding, batches or processes."""

from __future__ import annotations

import socket
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.metrics import precision_score as seqeval_precision
from seqeval.metrics import recall_score as seqeval_recall
from seqeval.scheme import IOB1, IOB2, IOBES, Entities
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
from torch import Tensor, multiprocessing

from zoo.metrics.tagging import UNSEEN, LabelScore, TaggingMetrics

TAGS = ["NOUN", "VERB", "DET"]
BIO = ["O", "B-x", "I-x", "B-y", "I-y"]
BIOES = ["O", *(f"{prefix}-{label}" for label in "xy" for prefix in "BIES")]
INVENTORY = {"BIO": BIO, "IOB1": BIO, "BIOES": BIOES, "BMES": [tag.replace("I-", "M-") for tag in BIOES]}
REFERENCE = {"BIO": IOB2, "IOB1": IOB1, "BIOES": IOBES, "BMES": IOBES}

Batch = tuple[Tensor, Tensor, Tensor, Tensor]


def collate(rows: list[list[tuple[int, int, bool]]], garbage: int = 0) -> Batch:
    """Rows of (predicted, gold, unknown) -> the arguments of `update`, padded with wrong `garbage`."""
    lengths = [len(row) for row in rows]
    padded = [[*row, *[(garbage, garbage + 1, True)] * (max(lengths) + 2 - len(row))] for row in rows]
    predicted, gold, unknown = torch.tensor(padded).unbind(2)
    return predicted, gold, torch.tensor(lengths), unknown.bool()


def some_rows(num_tags: int, unseen: bool = True) -> st.SearchStrategy:
    token = st.tuples(st.integers(0, num_tags - 1), st.integers(0, num_tags - (not unseen)), st.booleans())
    return st.lists(st.lists(token, min_size=1, max_size=6), min_size=1, max_size=4)


def scored(tags: list[str], scheme: str | None, *batches: Batch) -> TaggingMetrics:
    metrics = TaggingMetrics(tags, scheme)
    for batch in batches:
        metrics.update(*batch)
    return metrics


@settings(deadline=None, max_examples=40)
@given(some_rows(3))
def test_tags_agree_with_scikit_learn(rows):
    metrics = scored(TAGS, None, collate(rows))
    predicted, gold, unknown = zip(*(token for row in rows for token in row), strict=True)
    right = [p == g for p, g in zip(predicted, gold, strict=True)]
    at_unknown = [r for r, u in zip(right, unknown, strict=True) if u]
    expected = {
        "accuracy": sum(right) / len(right),
        "sentence_accuracy": sum(all(p == g for p, g, _ in row) for row in rows) / len(rows),
        "macro_f1": f1_score(gold, predicted, average="macro", labels=sorted(set(gold)), zero_division=0),
    }
    if at_unknown:
        expected["unknown_accuracy"] = sum(at_unknown) / len(at_unknown)
    assert {name: float(value) for name, value in metrics.compute().items()} == pytest.approx(expected)

    assert metrics.confusion().tolist() == confusion_matrix(gold, predicted, labels=range(4))[:, :3].tolist()
    reference = precision_recall_fscore_support(gold, predicted, labels=range(4), zero_division=0)
    columns = [[getattr(score, field) for score in metrics.per_tag()] for field in LabelScore._fields]
    assert columns[0] == [*TAGS, UNSEEN][: 3 + (3 in gold)]
    for column, values in zip(columns[1:], reference, strict=True):
        assert column == pytest.approx(list(values[: len(column)]))


@settings(deadline=None)
@given(st.data())
@pytest.mark.parametrize("scheme", INVENTORY)
def test_spans_agree_with_seqeval_strict(scheme, data):
    tags = INVENTORY[scheme]
    rows = data.draw(some_rows(len(tags), unseen=False))
    metrics = scored(tags, scheme, collate(rows))
    names = [tag.replace("M-", "I-") for tag in tags]
    predicted = [[names[p] for p, _, _ in row] for row in rows]
    gold = [[names[g] for _, g, _ in row] for row in rows]
    strict = {"mode": "strict", "scheme": REFERENCE[scheme], "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        references = {"precision": seqeval_precision, "recall": seqeval_recall, "f1": seqeval_f1}
        expected = {f"span_{name}": score(gold, predicted, **strict) for name, score in references.items()}
        by_label = {name: score(gold, predicted, average=None, **strict) for name, score in references.items()}
    got = metrics.compute()
    assert {name: float(got[name]) for name in expected} == pytest.approx(expected)
    table = {score.label: score for score in metrics.per_span_label()}
    # seqeval has a row for each of these labels.
    labels = sorted(Entities(gold + predicted, REFERENCE[scheme]).unique_tags)
    for name, values in by_label.items():
        assert [getattr(table[label], name) for label in labels] == pytest.approx(list(values))


def test_span_scores_are_computed_for_each_label():
    rows = [[(1, 1, False), (2, 2, False), (0, 3, False)], [(1, 3, False), (0, 0, False), (3, 3, False)]]
    scores = scored(BIO, "BIO", collate(rows)).per_span_label()
    assert scores == [
        LabelScore("x", 0.5, 1.0, pytest.approx(2 / 3), 1),
        LabelScore("y", 1.0, pytest.approx(1 / 3), 0.5, 3),
    ]
    assert scored(TAGS, None, collate([[(0, 0, False)]])).per_span_label() == []


def test_a_run_of_unseen_tags_is_one_missed_span():
    unseen = len(BIO)
    gold = [1, unseen, unseen, 0, unseen, 2]
    predicted = [1, 3, 4, 0, 0, 0]
    metrics = scored(BIO, "BIO", collate([[(p, g, False) for p, g in zip(predicted, gold, strict=True)]]))
    assert metrics.per_span_label()[-1] == LabelScore(UNSEEN, 0.0, 0.0, 0.0, 2)
    scores = metrics.compute()
    assert float(scores["span_recall"]) == pytest.approx(1 / 3)
    assert float(scores["span_precision"]) == pytest.approx(1 / 2)
    assert float(scores["accuracy"]) == pytest.approx(2 / 6)


def test_tokens_whose_tags_break_the_scheme_are_counted():
    """Gold O I-x B-x I-y has two strays, predicted I-x I-x O B-y has two."""
    metrics = scored(BIO, "BIO", collate([[(2, 0, False), (2, 2, False), (0, 1, False), (3, 4, False)]]))
    assert metrics.stray_tokens() == (2, 2)
    assert scored(BIO, "BIO", collate([[(1, 1, False), (2, len(BIO), False)]])).stray_tokens() == (0, 0)
    assert scored(TAGS, None, collate([[(0, 0, False)]])).stray_tokens() == (0, 0)


@pytest.mark.parametrize("label", [UNSEEN, "<pad>", "<unk>"])
def test_a_label_may_be_spelled_like_a_special_one(label):
    tags = ["O", f"B-{label}", f"I-{label}"]
    scores = scored(tags, "BIO", collate([[(1, 1, False), (0, 3, False), (1, 1, False)]])).per_span_label()
    assert scores == [LabelScore(label, 1.0, 1.0, 1.0, 2), LabelScore(UNSEEN, 0.0, 0.0, 0.0, 1)]


def test_the_score_of_nothing_is_zero_and_not_nan():
    metrics = scored(BIO, "BIO", collate([[(0, 0, False)]]))
    scores = metrics.compute()
    # No word was unknown: there is no accuracy over unknown words.
    assert set(scores) == {
        *("accuracy", "sentence_accuracy", "macro_f1"),
        *("span_precision", "span_recall", "span_f1"),
    }
    assert scores["accuracy"] == scores["macro_f1"] == 1
    assert scores["span_f1"] == 0


@settings(deadline=None)
@given(some_rows(5), st.sampled_from([-100, 0, 5, 10**6]))
def test_scores_are_independent_of_padding_and_batches(rows, garbage):
    whole = scored(BIO, "BIO", collate(rows))
    apart = scored(BIO, "BIO", *(collate([row], garbage) for row in rows))
    padded = scored(BIO, "BIO", collate(rows, garbage))
    assert whole.compute() == apart.compute() == padded.compute()
    assert whole.per_span_label() == apart.per_span_label() == padded.per_span_label()


def test_reset_forgets_all_batches():
    metrics = scored(BIO, "BIO", collate([[(1, 0, True)]]))
    metrics.reset()
    metrics.update(*collate([[(1, 1, True)]]))
    assert all(value == 1 for value in metrics.compute().values())


def test_the_worst_confusions_come_first():
    pairs = [(0, 0)] * 9 + [(1, 0)] * 2 + [(2, 1)] * 3 + [(0, 3)]
    metrics = scored(TAGS, None, collate([[(p, g, False) for p, g in pairs]]))
    assert metrics.worst_confusions(2) == [("VERB", "DET", 3), ("NOUN", "VERB", 2)]
    assert metrics.worst_confusions(9)[2:] == [(UNSEEN, "NOUN", 1)]


def test_a_tag_that_is_not_of_the_scheme_is_refused_at_once():
    with pytest.raises(ValueError, match="'NOUN' at position 0 is not of scheme BIO"):
        TaggingMetrics(TAGS, "BIO")
    with pytest.raises(ValueError, match="BILUO.*BIOES"):
        TaggingMetrics(BIO, "BILUO")


# Three batches for the first process, one for the second.
BATCHES = [
    collate([[(1, 1, True), (2, 2, False)], [(3, 0, True)]]),
    collate([[(0, 5, True), (0, 5, False), (1, 1, False)]]),
    collate([[(4, 4, False)]]),
    collate([[(3, 3, False), (4, 2, True), (0, 0, False)], [(0, 0, False), (1, 3, True)]]),
]


def answers(metrics: TaggingMetrics) -> tuple:
    scores = {name: float(value) for name, value in metrics.compute().items()}
    counts = metrics.confusion().tolist(), metrics.worst_confusions(3)
    return scores, metrics.per_tag(), metrics.per_span_label(), counts


def one_process(rank: int, port: int, queue: multiprocessing.Queue) -> None:
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    metrics = scored(BIO, "BIO", *(BATCHES[:3] if rank == 0 else BATCHES[3:]))
    answers(metrics)
    # A second call must not add the synchronized counts again.
    queue.put(answers(metrics))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_scores_of_one():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A forked process does not import torch again, which takes most of the time of a spawned one.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    queue = multiprocessing.get_context(method).SimpleQueue()
    multiprocessing.start_processes(one_process, (port, queue), nprocs=2, start_method=method)
    expected = answers(scored(BIO, "BIO", *BATCHES))
    assert [queue.get(), queue.get()] == [expected, expected]
