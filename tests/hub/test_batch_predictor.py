"""A model as a callable for batches of a table: by plain calls, pickled, and with Ray Data where it is installed."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from command_line import ROOT, run_python

import zoo
from zoo.errors import ZooError

TEXTS = ["I saw her duck .", "", "Time flies", "A longer sentence than the others here"]


def column(values: list) -> np.ndarray:
    """A column of Python objects, as Ray Data gives strings and lists."""
    filled = np.empty(len(values), dtype=object)
    filled[:] = values
    return filled


@pytest.mark.parametrize("name", ["pos-en-ewt", "ner-zh-resume"])
def test_a_tagger_adds_the_tags_of_each_row(name):
    batch = {"id": np.arange(4), "text": column(TEXTS)}
    answers = zoo.BatchPredictor(name)(batch)
    assert list(answers) == ["id", "text", "prediction"] and answers["id"] is batch["id"]
    assert list(answers["prediction"]) == zoo.from_pretrained(name).predict(TEXTS)


def test_a_tagger_reads_lists_of_tokens_too():
    """Ray Data gives a list as an array, and lists of equal lengths stay apart."""
    tokens = [["Time", "flies"], ["Dogs", "bark"]]
    predict = zoo.BatchPredictor("pos-en-ewt", "tokens", max_tokens=2)
    rows = np.empty(2, dtype=object)
    for row, words in enumerate(tokens):
        rows[row] = np.array(words, dtype=object)
    answers = predict({"tokens": rows})["prediction"]
    assert answers.shape == (2,) and list(answers) == predict.model.predict(tokens)


@pytest.mark.parametrize("texts", [TEXTS, np.array(TEXTS), column(TEXTS)], ids=["list", "strings", "objects"])
def test_a_classifier_adds_labels_and_probabilities(texts):
    answers = zoo.BatchPredictor("spam-en-sms", "message")({"message": texts})
    expected = zoo.from_pretrained("spam-en-sms").predict(TEXTS)
    assert list(answers["prediction"]) == [answer["label"] for answer in expected]
    assert list(answers["probabilities"]) == [answer["probabilities"] for answer in expected]


def test_a_translator_writes_with_the_search_that_it_is_given():
    model = zoo.from_pretrained("translate-en-de-multi30k")
    texts = ["A dog runs on the beach.", "A man is cooking."]
    for search in ({"beam": 3, "max_length": 4}, {}):
        predict = zoo.BatchPredictor("translate-en-de-multi30k", search=search)
        assert list(predict({"text": column(texts)})["prediction"]) == model.predict(texts, **search)


def test_a_pickle_holds_no_weights_and_predicts_the_same():
    predict = zoo.BatchPredictor("spam-en-sms", "message", max_tokens=10)
    pickled = pickle.dumps(predict)
    assert len(pickled) < 1000
    again = pickle.loads(pickled)
    assert again.column == "message" and again.options == {"max_tokens": 10}
    batch = {"message": column(TEXTS)}
    assert list(again(batch)["prediction"]) == list(predict(batch)["prediction"])


def test_an_empty_batch_has_empty_predictions():
    answers = zoo.BatchPredictor("spam-en-sms")({"text": column([])})
    assert len(answers["prediction"]) == 0


@pytest.mark.parametrize(
    "batch, message",
    [
        ({"body": TEXTS}, "unknown column 'text': known are body"),
        ({"text": TEXTS, "prediction": TEXTS}, "expected no column prediction in a batch"),
        ({"text": column(["fine", None])}, "expected .* texts, got None .* at place 1"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(batch, message):
    with pytest.raises(ZooError, match=message):
        zoo.BatchPredictor("spam-en-sms")(batch)


def test_the_example_with_ray_predicts_for_a_table(tmp_path: Path):
    pytest.importorskip("ray.data", reason="the extra ray is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    texts = [f"{text} {number}" for number in range(10) for text in ("I saw her duck", "Dogs bark")]
    parquet.write_table(pyarrow.table({"id": range(20), "text": texts}), tmp_path / "texts.parquet")
    environment = {"RAY_USAGE_STATS_ENABLED": "0"}
    run_python(ROOT / "docs/predict_with_ray.py", "texts.parquet", tmp_path / "tagged", cwd=tmp_path, env=environment)
    rows = parquet.read_table(tmp_path / "tagged").to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(20))
    expected = zoo.from_pretrained("pos-en-ewt").predict([row["text"] for row in rows])
    assert [row["prediction"] for row in rows] == expected
