"""A batch that does not fit into memory is split, and nothing else changes; what bounds the memory of a batch."""

from __future__ import annotations

import copy
import re
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch

import zoo.models.generator
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.budget import largest, largest_that_trains
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


def gradients(model, batch):
    model.zero_grad()
    loss = model.training_step(batch, 0)
    loss.backward()
    return loss.detach(), [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@pytest.fixture
def plain_task(task):
    """A task whose model draws no random numbers."""
    data, model = task
    model = copy.deepcopy(model).train()
    for module in model.modules():
        for name in ("p", "word_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    data.setup("fit")
    batch = max(data.train_dataloader(), key=lambda batch: len(batch.rows))
    return model, batch


def test_a_training_step_in_parts_has_the_gradient_of_the_whole(plain_task, limit, monkeypatch):
    model, batch = plain_task
    loss, expected = gradients(model, batch)
    # Parts of a half, and of a quarter.
    limit(-(-len(batch.rows) // 3))
    found_loss, found = gradients(model, batch)
    torch.testing.assert_close(found_loss, loss)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_a_training_step_in_parts_draws_the_same_dropout_twice(classification, limit):
    data, model = classification
    model = copy.deepcopy(model).train()
    data.setup("fit")
    batch = max(data.train_dataloader(), key=lambda batch: len(batch.rows))
    limit(len(batch.rows) // 2 + 1)
    torch.manual_seed(0)
    first = gradients(model, batch)
    torch.manual_seed(0)
    for ours, theirs in zip(first[1], gradients(model, batch)[1], strict=True):
        assert torch.equal(ours, theirs)


def test_adversarial_training_is_not_divided(plain_task, limit, monkeypatch):
    model, batch = plain_task
    if isinstance(model, Seq2Seq):
        pytest.skip("it has no adversarial training")
    monkeypatch.setattr(model, "regularization", replace(model.regularization, adversarial=0.1))
    limit(1)
    with pytest.raises(torch.OutOfMemoryError):
        model.training_step(batch, 0)


@pytest.mark.parametrize("limit", [0, 1, 7, 100, 999, 1000, 5000])
@pytest.mark.parametrize("smallest", [1, 64, 1000])
def test_the_search_of_a_budget_ends_at_the_largest_that_fits(limit, smallest):
    tried = []

    def fits(budget):
        tried.append(budget)
        return budget <= limit

    found = largest(fits, smallest, 1000)
    assert found <= limit and all(0 < budget <= 1000 for budget in tried)
    assert found >= min(limit, 1000) / 1.06 - 1
    assert len(tried) < 30


def test_the_budget_that_fits_is_found_without_a_trace(classification, limit):
    data, model = classification
    model = copy.deepcopy(model).train()
    data.setup("fit")
    dataset = data._encoded["train"]
    model._trainer = quiet_trainer()
    limit(10)
    before = torch.get_rng_state()
    weights = [parameter.clone() for parameter in model.parameters()]
    found = largest_that_trains(model, dataset, torch.device("cpu"), 100)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(weights, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())
    rows = [len(rows) for rows in group_by_length(dataset.lengths, found)]
    assert 1 < max(rows) <= 10
    limit(0)
    with pytest.raises(torch.OutOfMemoryError, match="not even one row"):
        largest_that_trains(model, dataset, torch.device("cpu"), 100)


def test_without_a_gpu_an_automatic_budget_is_the_default(capsys):
    data = ClassificationDataModule("sample-spam", max_tokens="auto")
    data.setup("fit")
    default = ClassificationDataModule("sample-spam")
    default.setup("fit")
    assert [batch.rows.tolist() for batch in data.train_dataloader()] == [
        batch.rows.tolist() for batch in default.train_dataloader()
    ]
    # Without a Trainer, a loader only tells how many batches there are.
    assert capsys.readouterr().err == ""
    data.trainer = quiet_trainer()
    data.train_dataloader()
    assert f"--data.max_tokens auto: {default.budget} tokens, the default" in capsys.readouterr().err
