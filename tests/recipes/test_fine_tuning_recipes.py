"""`--model.init_from` in every recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from command_line import run

import zoo
from datamodules import LanguageModelingDataModule
from recipes import sentiment
from recipes.runner import training
from recipes.runner.training import train
from zoo.errors import ZooError

CPU = ["--trainer.accelerator=cpu", "--trainer.precision=32-true"]
SHORT = [*CPU, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
TRANSLATOR = [
    "--model.encoder_size=8", "--model.decoder_size=8", "--model.embedding_size=8", "--data.tokenizer=words",
    "--trainer.limit_val_batches=1",
]  # fmt: skip


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """Pictures take most of the time of a short run."""
    for report in ("tagging", "classification", "generation"):
        monkeypatch.setattr(f"recipes.reports.{report}.learning_curve", lambda *_: None, raising=False)


def test_a_tagger_gets_other_tags(trained, tmp_path):
    flags = ["--data.column=xpos", "--out=new", "--fine_tuning.layer_decay=0.5", "--model.dropout=0.1", *SHORT]
    done = run("pos_tagging", "fit", f"--model.init_from={trained}", *flags, cwd=tmp_path)
    told = done.stderr.splitlines()
    assert f"{trained} gives the weights of embedding and backbone." in told
    assert "New and untrained: head." in told and any("tags are new: " in line for line in told)
    settings = yaml.safe_load((tmp_path / "new/config.yaml").read_text())
    # The sizes are those of the model, and flags that change no size are those of the command.
    before = yaml.safe_load((trained / "config.yaml").read_text())["model"]
    assert settings["model"] == {**before, "dropout": 0.1, "init_from": str(trained)}
    facts = json.loads((tmp_path / "new/metrics.json").read_text())
    assert facts["init_from"]["source"] == str(trained) and facts["init_from"]["entries"]["tags"]["new"] > 0
    assert zoo.card(tmp_path / "new")["init_from"] == facts["init_from"]
    scored = json.loads(run("pos_tagging", "validate", "--model=new", *CPU, cwd=tmp_path).stdout)
    assert scored["val/accuracy"] == pytest.approx(facts["scores"]["val/accuracy"])


def test_a_classifier_gets_other_labels(classified, tmp_path):
    done = run("topic", "fit", f"--model.init_from={classified}", "--out=new", *SHORT, cwd=tmp_path)
    assert "labels are new: " in done.stderr and "tokens are new." in done.stderr
    settings = yaml.safe_load((tmp_path / "new/config.yaml").read_text())
    # Not those of the recipe for small corpora.
    assert settings["model"]["pooling"] == "max+attention" and settings["model"]["dropout"] == 0.3


def test_a_translator_goes_on_with_other_pairs(tmp_path):
    run("translation", "fit", "--out=old", *TRANSLATOR, *SHORT, cwd=tmp_path)
    flags = ["--model.init_from=old", "--data.source=de", "--data.target=en", "--out=new", *SHORT]
    done = run("translation", "fit", *flags, "--trainer.limit_val_batches=1", cwd=tmp_path)
    assert "old gives the weights of embeddings, encoder, output_bias and decoder." in done.stderr
    assert "The codec also differs from that of old: language is 'en' here and 'de' there." in done.stderr


@pytest.fixture(scope="module")
def language_models(tmp_path_factory):
    """A forward and a backward language model, untrained."""
    saved = []
    for backward in (False, True):
        codec = LanguageModelingDataModule("sample-text-en", lowercase=True, backward=backward).codec
        model = zoo.LanguageModel(codec, hidden_size=8, num_layers=1, embedding_size=4)
        saved.append(str(model.save_pretrained(tmp_path_factory.mktemp("language-model"))))
    return saved


@pytest.mark.parametrize("recipe, features", [("topic", 8), ("pos_tagging", 208)])
def test_a_recipe_starts_from_two_language_models(recipe, features, language_models, tmp_path):
    flags = [f"--model.init_from=[{','.join(language_models)}]", "--model.dropout=0.2", "--out=new", *SHORT]
    done = run(recipe, "fit", *flags, cwd=tmp_path)
    told = done.stderr.splitlines()
    assert f"{' and '.join(language_models)} gives the weights of embedding and backbone." in told
    model = zoo.from_pretrained(tmp_path / "new")
    assert model.codec.lowercase and model.hparams["bidirectional"] and model.hparams["dropout"] == 0.2
    assert (model.backbone.input_size, model.backbone.output_size) == (features, 16)
    assert zoo.card(tmp_path / "new")["init_from"]["left_out"] == ["output"]
    again = run(recipe, "fit", "--out=new", "--resume", "--trainer.max_epochs=2", cwd=tmp_path)
    assert "New and untrained: " in again.stderr


def test_a_tagger_reads_the_states_of_language_models(language_models, tmp_path):
    flags = [f"--model.language_models=[{','.join(language_models)}]", "--model.hidden_size=8", "--out=new", *SHORT]
    run("pos_tagging", "fit", *flags, cwd=tmp_path)
    facts = json.loads((tmp_path / "new/metrics.json").read_text())
    model = zoo.from_pretrained(tmp_path / "new")
    assert [codec.backward for codec in model.codec.context] == [False, True]
    scored = json.loads(run("pos_tagging", "validate", "--model=new", *CPU, cwd=tmp_path).stdout)
    assert scored["val/accuracy"] == pytest.approx(facts["scores"]["val/accuracy"], abs=1e-3)
    run("pos_tagging", "fit", "--out=new", "--resume", "--trainer.max_epochs=2", cwd=tmp_path)
    # With other tags, it has the same language models.
    flags = ["--model.init_from=new", "--data.column=xpos", "--out=newer", *SHORT]
    done = run("pos_tagging", "fit", *flags, cwd=tmp_path)
    assert "new gives the weights of embedding, backbone and context." in done.stderr


@pytest.mark.parametrize(
    "recipe, flags, message",
    [
        ("pos_tagging", ["--model.cell=gru"], "--model.cell gru contradicts RUN, where it is lstm: leave it out"),
        ("pos_tagging", ["--model.characters.encoder=cnn"], "--model.characters.encoder cnn contradicts RUN"),
        ("pos_tagging", ["--data.lowercase=false"], "--data.lowercase False contradicts RUN, where it is True"),
        ("pos_tagging", ["--data.vectors=glove.txt"], "a trained model cannot take new vectors"),
        ("pos_tagging", ["--fine_tuning.frozen=[backbon]"], "unknown part to freeze 'backbon': did you mean"),
        ("pos_tagging", ["--fine_tuning.layer_decay=2"], "expected a layer_decay above 0 and at most 1, got 2.0"),
        ("topic", [], "RUN is a SequenceTagger, and recipes.topic trains a TextClassifier: name one of"),
        (
            "topic",
            ["--model.init_from=spam-en-sms", "--data.vocabulary_size=9"],
            "--data.vocabulary_size has no effect",
        ),
        ("topic", ["--model.init_from=LM", "--model.cell=gru"], "--model.cell gru contradicts LM, where it is lstm"),
        ("language_modeling", ["--model.init_from=LM", "--model.hidden_size=9"], "9 contradicts LM, where it is 8"),
        ("language_modeling", ["--model.init_from=LM", "--data.backward=true"], "backward True contradicts LM, where"),
        ("topic", ["--model.init_from=LM", "--data.tokenizer=words"], "--data.tokenizer words contradicts LM, where"),
        ("pos_tagging", ["--model.language_models=[pos-en-ewt]"], "got pos-en-ewt, a SequenceTagger: train one with"),
        ("pos_tagging", ["--model.language_models=[LM]"], "leave --model.language_models out"),
        ("translation", ["--model.init_from=LM"], "LM is a LanguageModel, and recipes.translation trains a Seq2Seq"),
        ("topic", ["--model.init_from=nothing"], "unknown pretrained model, folder or checkpoint 'nothing'"),
    ],
)
def test_what_contradicts_the_model_is_refused(recipe, flags, message, trained, language_models, tmp_path):
    flags = [flag.replace("LM", language_models[0]) for flag in flags]
    done = run(recipe, "fit", f"--model.init_from={trained}", "--out=new", *flags, *SHORT, cwd=tmp_path, fails=True)
    assert message.replace("RUN", str(trained)).replace("LM", language_models[0]) in done.stderr
    assert not (tmp_path / "new").exists()


class Killed(BaseException):
    """What nothing catches."""


def last(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def test_a_run_resumes_exactly(classified, tmp_path, monkeypatch):
    """It is killed in the first epoch in which the recurrent layer is trained."""
    monkeypatch.setattr(training, "_report", lambda *_: None)
    flags = [
        f"--model.init_from={classified}", "--data.dataset=sample-topics", "--fine_tuning.layer_decay=0.5",
        "--fine_tuning.unfreeze_every=1", "--checkpoints.every_steps=1", "--trainer.max_epochs=3",
        "--trainer.limit_train_batches=3", *CPU,
    ]  # fmt: skip
    train(sentiment.RECIPE, [f"--out={tmp_path}/whole", *flags], test=False)
    step, calls = sentiment.RECIPE.model.training_step, []

    def killed(self, *args):
        calls.append(args)
        if len(calls) == 6:
            raise Killed
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(sentiment.RECIPE.model, "training_step", killed)
        with pytest.raises(Killed):
            train(sentiment.RECIPE, [f"--out={tmp_path}/killed", *flags], test=False)
    config = (tmp_path / "killed/config.yaml").read_text()
    with pytest.raises(ZooError, match="the training began with .*layer_decay=0.5.*: give the values that it began"):
        train(sentiment.RECIPE, [f"--out={tmp_path}/killed", "--resume", "--fine_tuning.layer_decay=1"], test=False)
    assert (tmp_path / "killed/config.yaml").read_text() == config
    train(sentiment.RECIPE, [f"--out={tmp_path}/killed", "--resume"], test=False)
    ours, theirs = last(tmp_path / "killed"), last(tmp_path / "whole")
    assert ours["global_step"] == theirs["global_step"] == 9
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, theirs[part][name]) for name, value in ours[part].items()), part
    rates = [group["initial_lr"] for group in theirs["optimizer_states"][0]["param_groups"]]
    assert len(set(rates)) == 3
