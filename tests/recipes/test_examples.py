"""The scored examples of a run: all of them are written, a choice is shown, and its scores follow from them."""

from __future__ import annotations

import json
import math

import pytest

from recipes.reports.examples import AT_RANDOM, WORST, ScoredExample, chosen, read_examples, write_examples
from zoo.errors import ZooError


def example(row: int, loss: float = 0.0, **fields) -> ScoredExample:
    return ScoredExample(row, **{"source": "a", "gold": "x", "predicted": "y", "loss": loss, "tokens": 1, **fields})


def test_examples_are_read_as_they_were_written(tmp_path):
    examples = [
        example(0, 0.5, source="line\n\u2028separators </script> \x00", details={"probabilities": [0.25, 0.75]}),
        example(3, source=["a", "b"], gold=["X", "Y"], predicted=[], tokens=2),
        example(4, source="a lone surrogate \udc80", gold=None, predicted=None),
    ]
    write_examples(examples, tmp_path / "examples.jsonl")
    assert list(read_examples(tmp_path / "examples.jsonl")) == examples
    write_examples([example(0, math.nan)], tmp_path / "examples.jsonl")
    assert math.isnan(next(read_examples(tmp_path / "examples.jsonl")).loss)


@pytest.mark.parametrize(
    "content", [b'{"row": 0', b"[]\n", b'{"row": 0, "source": "a"}\n', b"\xff\n", b'{"row":0,"loss":"x"}']
)
def test_damaged_examples_are_refused(content, tmp_path):
    (tmp_path / "examples.jsonl").write_bytes(content)
    with pytest.raises(ZooError, match="examples.jsonl"):
        list(read_examples(tmp_path / "examples.jsonl"))
    with pytest.raises(ZooError, match=r"missing.jsonl: expected the examples of a finished run"):
        list(read_examples(tmp_path / "missing.jsonl"))


def test_the_worst_are_those_with_the_highest_losses():
    losses = [(7 * row) % 1000 / 10 for row in range(1000)]
    choice = chosen(example(row, loss) for row, loss in enumerate(losses))
    assert [one.loss for one in choice.worst] == sorted(losses, reverse=True)[:WORST]
    # Equal losses: the first rows come first. A loss of NaN says nothing.
    equal = chosen([example(0, math.nan), *(example(row, 1.0) for row in range(1, 100))])
    assert [one.row for one in equal.worst] == list(range(1, WORST + 1))


def test_the_examples_at_random_are_seeded_and_spread_evenly():
    examples = [example(row) for row in range(500)]
    choices = [[one.row for one in chosen(examples, seed=seed).at_random] for seed in range(200)]
    assert choices[0] == [one.row for one in chosen(examples).at_random] != choices[1]
    assert all(rows == sorted(set(rows)) and len(rows) == AT_RANDOM for rows in choices)
    # Of 200 choices of 50 of 500, each hundred of the rows is drawn 2,000 times, with a standard deviation of 38.
    for start in range(0, 500, 100):
        assert abs(sum(start <= row < start + 100 for rows in choices for row in rows) - 2000) < 190
    assert chosen(examples[:3]).at_random == examples[:3]


def test_the_scores_of_a_tagger_follow_from_its_examples(trained):
    scores = json.loads((trained / "metrics.json").read_text("utf-8"))["scores"]
    examples = list(read_examples(trained / "examples.jsonl"))
    assert [one.row for one in examples] == list(range(len(examples)))
    pairs = [pair for one in examples for pair in zip(one.gold, one.predicted, strict=True)]
    assert sum(gold == found for gold, found in pairs) / len(pairs) == pytest.approx(scores["test/accuracy"])
    assert sum(one.right for one in examples) / len(examples) == pytest.approx(scores["test/sentence_accuracy"])
    unknown = [(one.gold[i], one.predicted[i]) for one in examples for i in one.details["unknown"]]
    right = sum(gold == found for gold, found in unknown)
    assert right / len(unknown) == pytest.approx(scores["test/unknown_accuracy"])


def test_the_scores_of_a_classifier_follow_from_its_examples(classified):
    scores = json.loads((classified / "metrics.json").read_text("utf-8"))["scores"]
    examples = list(read_examples(classified / "examples.jsonl"))
    assert sum(one.right for one in examples) / len(examples) == pytest.approx(scores["test/accuracy"])
    for one in examples:
        assert sum(one.details["probabilities"]) == pytest.approx(1, abs=1e-5)
        assert one.right == (math.exp(-one.loss) == pytest.approx(max(one.details["probabilities"]), abs=1e-5))
