"""Models and data of the zoo in a stranger's LightningCLI, chosen by `class_path` in a YAML file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from jsonargparse import set_parsing_settings
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

import zoo


class StrangersCLI(LightningCLI):
    """What the documentation shows: one line of its own, which hands the codec of the data to the model."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.codec", "model.init_args.codec", apply_on="instantiate")


TRAINER = {
    "accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 2, "limit_val_batches": 1, "logger": False,
    "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False,
}  # fmt: skip
SIZES = {"embedding_size": 8}
PAIRS = {
    "tagging": (
        "zoo.SequenceTagger",
        {**SIZES, "hidden_size": 8, "characters": {"output_size": 4}, "optimizer": {"learning_rate": 0.01}},
        "datamodules.TaggingDataModule",
        {"dataset": "sample-en"},
    ),
    "classification": (
        "zoo.TextClassifier",
        {**SIZES, "hidden_size": 8, "regularization": {"adversarial": 0.1}},
        "datamodules.ClassificationDataModule",
        {"dataset": "sample-spam", "tokenizer": "characters"},
    ),
    "seq2seq": (
        "zoo.Seq2Seq",
        {**SIZES, "encoder_size": 8, "decoder_size": 8, "recurrent": {"zoneout": 0.1}},
        "datamodules.Seq2SeqDataModule",
        {"dataset": "sample-phrases", "tokenizer": "words"},
    ),
}


@pytest.fixture(autouse=True)
def trust_as_a_stranger_does():
    """The recipes of other tests in this process trust few classes; a stranger's own command line trusts its own."""
    set_parsing_settings(import_path_denylist=[], import_path_allowlist=["zoo", "datamodules", "pytorch_lightning"])


@pytest.mark.parametrize("task", PAIRS)
def test_a_users_lightning_cli_trains_the_classes_of_a_config_file(task, tmp_path: Path, monkeypatch):
    model, arguments, data, options = PAIRS[task]
    config = tmp_path / "config.yaml"
    settings = {
        "model": {"class_path": model, "init_args": arguments},
        "data": {"class_path": data, "init_args": options},
        "trainer": TRAINER,
    }
    config.write_text(yaml.safe_dump(settings))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", "--config", str(config)])
    cli = StrangersCLI(subclass_mode_model=True, subclass_mode_data=True, save_config_callback=None)
    assert cli.trainer.state.finished and cli.trainer.global_step == 2
    assert cli.model.codec == cli.datamodule.codec
    for name, value in arguments.items():
        kept = cli.model.hparams[name]
        assert (kept.items() >= value.items()) if isinstance(value, dict) else kept == value
    again = zoo.from_pretrained(cli.model.save_pretrained(tmp_path / "model"))
    assert again.hparams == cli.model.hparams
