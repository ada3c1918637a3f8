"""A batch that does not fit into memory is split, and nothing else changes; what bounds the memory of a batch."""

from __future__ import annotations

import re

import pytest
import pytorch_lightning as pl
import torch

import zoo.models.generator
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo import RecurrentBackbone, Seq2Seq, SequenceTagger, TextClassifier, in_order
from zoo.batches.bucketing import PAIRS_PER_TOKEN, group_by_length
from zoo.batches.parts import halves
from zoo.models.options import CharacterOptions

CHARACTER_FEATURES = 4
TEXTS = ["The cat sat .", "A dog", "It rains a lot today .", "Yes", "No , thanks", "We saw the sea"]


@pytest.fixture(scope="module")
def tagging():
    data = TaggingDataModule("sample-en")
    characters = CharacterOptions(embedding_size=CHARACTER_FEATURES, output_size=8)
    torch.manual_seed(0)
    return data, SequenceTagger(data.codec, hidden_size=8, embedding_size=8, characters=characters)


@pytest.fixture(scope="module")
def classification():
    data = ClassificationDataModule("sample-spam")
    torch.manual_seed(0)
    return data, TextClassifier(data.codec, hidden_size=8, embedding_size=8)


@pytest.fixture(scope="module")
def translation():
    data = Seq2SeqDataModule("sample-phrases")
    torch.manual_seed(0)
    return data, Seq2Seq(data.codec, encoder_size=8, decoder_size=8, embedding_size=8)


@pytest.fixture(params=["tagging", "classification", "translation"])
def task(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def limit(monkeypatch):
    """Sets the largest number of rows that the memory holds: a backbone that reads more raises torch's error."""

    def set_limit(rows: int, *, words: str = "CUDA out of memory") -> None:
        forward = RecurrentBackbone.forward

        def limited(self, x, *args):
            # Not the layer over characters.
            if len(x) > rows and self.input_size > CHARACTER_FEATURES:
                raise torch.OutOfMemoryError(words)
            return forward(self, x, *args)

        monkeypatch.setattr(RecurrentBackbone, "forward", limited)

    return set_limit


def quiet_trainer() -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_val_batches=3,
    )  # fmt: skip


def test_predict_splits_what_does_not_fit(task, limit, caplog):
    _, model = task
    expected = model.predict(TEXTS)
    limit(2)
    found = model.predict(TEXTS)
    if isinstance(model, TextClassifier):
        for ours, theirs in zip(found, expected, strict=True):
            assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-5)
    else:
        assert found == expected
    counts = [int(n) for n in re.findall(r"split (\d+) of this process", caplog.text)]
    assert counts == list(range(counts[0], counts[0] + len(counts)))


def test_evaluation_and_prediction_by_a_trainer_split_what_does_not_fit(task, limit):
    data, model = task
    trainer = quiet_trainer()
    expected = trainer.validate(model, data, verbose=False)[0]
    answers = in_order(trainer.predict(model, datamodule=data))
    limit(3)
    assert trainer.validate(model, data, verbose=False)[0] == pytest.approx(expected, abs=1e-5)
    found = in_order(trainer.predict(model, datamodule=data))
    assert len(found) == len(answers)
    if not isinstance(model, TextClassifier):
        assert found == answers


def test_one_row_that_does_not_fit_is_an_error_with_advice(task, limit):
    _, model = task
    limit(0)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        model.predict(TEXTS)
    assert "One input alone does not fit" in caught.value.__notes__[0]


def test_other_errors_are_not_tried_again(classification, monkeypatch):
    def fail(*_):
        calls.append(1)
        raise RuntimeError("expected scalar type Float")

    calls: list[int] = []
    monkeypatch.setattr(RecurrentBackbone, "forward", fail)
    with pytest.raises(RuntimeError, match="scalar type"):
        classification[1].predict(TEXTS)
    assert len(calls) == 1


def test_halves_of_a_batch_are_its_rows(task):
    data, model = task
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    first, second = halves(batch)
    assert torch.cat([first.rows, second.rows]).tolist() == batch.rows.tolist()
    with torch.inference_mode():
        together = model.in_evaluation()._answers(batch.inputs)
        apart = [answer for half in (first, second) for answer in model.in_evaluation()._answers(half.inputs)]
    if not isinstance(model, TextClassifier):
        assert apart == together
    assert len(apart) == len(together)


def test_a_search_has_a_bounded_number_of_hypotheses(translation, monkeypatch):
    _, model = translation
    expected = model.predict(TEXTS, beam=3)
    rows = []
    embed = model.embed
    monkeypatch.setattr(model, "embed", lambda tokens: rows.append(len(tokens)) or embed(tokens))
    monkeypatch.setattr(zoo.models.generator, "HYPOTHESES", 6)
    assert model.predict(TEXTS, beam=3) == expected
    assert max(rows) == 6


def test_the_pairs_of_positions_of_a_batch_are_bounded():
    long, budget = (800, 800), 8000
    batches = group_by_length([long] * 5, budget)
    # Without attention, five pairs would make a batch.
    assert 5 * sum(long) <= budget
    assert max(len(rows) for rows in batches) == 1
    assert all(len(rows) * 800 * 800 <= PAIRS_PER_TOKEN * budget for rows in batches)
    # At the default limits of a codec, the lengths alone bound a batch.
    assert [len(rows) for rows in group_by_length([(400, 101)] * 5, 5 * 501)] == [5]
