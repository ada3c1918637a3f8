"""A bare Trainer predicts and scores on two processes what it does on one, each row once and in the order of the split.

A Trainer has `use_distributed_sampler=True` by default. It must not replace the sampler of a datamodule.
"""

from __future__ import annotations

import json
import os
import socket
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import multiprocessing

import zoo
from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule

SIZES = dict(embedding_size=8, hidden_size=8)
QUIET = dict(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
BUDGET = 60  # tokens of a batch: several batches, which hold the rows in another order than the split


def tagger(**options):
    data = TaggingDataModule("sample-en-ner")
    model = zoo.SequenceTagger(data.codec, **SIZES, **options)
    return model, data, [sentence.tokens for sentence in data.sentences("test")]


def classifier():
    data = ClassificationDataModule("sample-spam")
    return zoo.TextClassifier(data.codec, **SIZES), data, [text.text for text in data.texts("test")]


def translator():
    data = Seq2SeqDataModule("sample-phrases", tokenizer="words", max_target=8)
    model = zoo.Seq2Seq(data.codec, embedding_size=8, encoder_size=8, decoder_size=8)
    return model, data, [pair.source for pair in data.pairs("test")]


TASKS = {"tagger": tagger, "crf": lambda: tagger(head="crf"), "classifier": classifier, "translator": translator}


class Rows(BasePredictionWriter):
    """Compares the rows that Lightning tells with those of the predictions."""

    def write_on_batch_end(self, trainer, model, prediction, indices, batch, batch_index, loader_index):
        assert prediction.rows == list(indices)

    def write_on_epoch_end(self, trainer, model, predictions, indices):
        assert [batch.rows for batch in predictions] == [list(rows) for rows in indices[0]]


def predictions(task: str, **flags) -> tuple[list, list]:
    """What a Trainer answers, and what the model does."""
    torch.manual_seed(0)
    model, data, inputs = TASKS[task]()
    data.evaluation_budget = BUDGET
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = pl.Trainer(callbacks=[Rows("batch_and_epoch")], **QUIET, **flags).predict(model, datamodule=data)
    assert not [warning.message for warning in caught if "sampler" in str(warning.message)]
    assert [row for batch in batches for row in batch.rows] != list(range(len(inputs)))
    return zoo.in_order(batches), model.predict(inputs)


def assert_same(answers: list, expected: list) -> None:
    assert len(answers) == len(expected)
    for answer, other in zip(answers, expected, strict=True):
        if isinstance(answer, dict):
            # The rounding of probabilities depends on the batch.
            assert answer.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=1e-5)
        assert answer == other


@pytest.mark.parametrize("task", TASKS)
def test_trainer_predict_equals_the_models_predict(task):
    assert_same(*predictions(task))


def scores(task: str, **flags) -> dict[str, float]:
    """The scores on dev and test of a model with the same weights in each call."""
    torch.manual_seed(0)
    model, data, _ = TASKS[task]()
    data.evaluation_budget = BUDGET
    trainer = pl.Trainer(**QUIET, **flags)
    (dev,) = trainer.validate(model, data, verbose=False)
    (test,) = trainer.test(model, data, verbose=False)
    return dev | test


def answers_for_few_rows(rows: int, folder: Path, **flags) -> tuple[list, list]:
    """What a Trainer answers for a file of a few rows, and what the model does."""
    texts = ["see you", "free prize", "call me now please", "ok", "win a free phone today"][:rows]
    file = folder / f"{rows}.tsv"
    file.write_text(
        "label\ttext\n" + "".join(f"{('ham', 'spam')[row % 2]}\t{text}\n" for row, text in enumerate(texts))
    )
    torch.manual_seed(0)
    model = zoo.TextClassifier(ClassificationDataModule("sample-spam").codec, **SIZES)
    data = ClassificationDataModule(test=str(file), codec=model.codec)
    batches = pl.Trainer(**QUIET, **flags).predict(model, datamodule=data)
    return zoo.in_order(batches), model.predict(texts)


def one_process(rank: int, port: int, folder: Path) -> None:
    os.environ.update(LOCAL_RANK=str(rank), NODE_RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    own = folder / str(rank)
    own.mkdir()
    two = dict(devices=2, strategy="ddp")
    found = {
        "answers": {task: predictions(task, **two) for task in TASKS},
        "few": {rows: answers_for_few_rows(rows, own, **two) for rows in (2, 3, 5)},
        "scores": {task: scores(task, **two) for task in TASKS},
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory) -> list[dict]:
    """What each of two processes predicts and scores."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.start_processes(one_process, (port, folder), nprocs=2, start_method="fork")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.xdist_group("two_processes_that_predict")
@pytest.mark.parametrize("task", TASKS)
def test_trainer_predict_on_two_processes_equals_the_models_predict(two_processes, task):
    for of_rank in two_processes:
        assert_same(*of_rank["answers"][task])


@pytest.mark.xdist_group("two_processes_that_predict")
@pytest.mark.parametrize("rows", ["2", "3", "5"])
def test_few_rows_are_predicted_once_each_on_two_processes(two_processes, rows):
    for of_rank in two_processes:
        assert_same(*of_rank["few"][rows])


@pytest.mark.xdist_group("two_processes_that_predict")
@pytest.mark.parametrize("task", TASKS)
def test_scores_on_two_processes_equal_those_on_one(two_processes, task):
    expected = scores(task)
    assert expected
    for of_rank in two_processes:
        assert of_rank["scores"][task] == pytest.approx(expected, abs=1e-6)


def test_answers_are_in_order_with_limit_predict_batches():
    model, data, inputs = tagger()
    data.evaluation_budget = BUDGET
    trainer = pl.Trainer(limit_predict_batches=2, accelerator="cpu", logger=False, enable_progress_bar=False)
    batches = trainer.predict(model, datamodule=data)
    rows = sorted(row for batch in batches for row in batch.rows)
    assert 0 < len(rows) < len(inputs)
    assert zoo.in_order(batches) == [model.predict([inputs[row]])[0] for row in rows]
