"""What Weights & Biases gets of a run, read back; and that none of its failures stops a training."""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
import subprocess
from pathlib import Path

import pytest
import pytorch_lightning as pl
import wandb
from command_line import ROOT, run_alone
from pytorch_lightning.loggers import WandbLogger
from small_runs import FAST_SPAM
from wandb_files import Logged, logged_in

from datamodules import TaggingDataModule
from recipes import spam
from recipes.reports.examples import ScoredExample, read_examples
from recipes.runner import wandb_run
from recipes.runner.callbacks import best_row
from recipes.runner.training import train
from recipes.runner.wandb_modes import MODES, UNASKED, wandb_mode
from recipes.runner.wandb_results import COLUMNS, artifact_name, cells, data_artifact
from zoo import SequenceTagger
from zoo.errors import ZooError

MEASURED = {
    f"train/{name}" for name in ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "peak_memory_mb")
}
SCORES = {"loss", "accuracy", "unknown_accuracy", "sentence_accuracy", "macro_f1"}
PICTURES = {"learning-curve", "confusion", "mistakes"}
TABLES = {"worst-examples", "random-examples"}


@pytest.fixture(scope="module")
def logged(trained) -> Logged:
    """What W&B has of the run that tests share."""
    return logged_in(trained)


def test_a_run_has_its_names(logged):
    names = {name: logged.run[name] for name in ("project", "run_group", "tags", "job_type")}
    assert names == {"project": "mine", "run_group": "sizes", "tags": ["small", "gru"], "job_type": "train"}


def test_settings_are_flat_and_have_no_vocabulary(logged):
    config = logged.config
    assert config["model.hidden_size"] == config["model.characters.output_size"] == 8
    assert config["trainer.max_epochs"] == 2 and config["recipe"] == "pos_tagging" and config["wandb_group"] == "sizes"
    # Defaults of the recipe, and what follows from the data.
    assert config["model.regularization.label_smoothing"] == 0.1 and config["batch_tokens"] == 100
    assert not {name for name in config if isinstance(config[name], dict)} - {"_wandb"}
    assert len(json.dumps(config)) < 5_000


def test_data_are_named_with_their_sums(logged):
    for split in ("train", "dev", "test"):
        path = ROOT / f"datamodules/samples/en/{split}.conllu"
        assert logged.config[f"corpus.{split}.0.file"] == path.name
        assert logged.config[f"corpus.{split}.0.sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_data_are_an_artifact_that_changes_with_their_sums(logged):
    artifact = data_artifact(logged.config)
    assert (artifact.name, artifact.type) == ("sample-en", "dataset")
    assert artifact.metadata["corpus.train.0.file"] == "train.conllu" and len(artifact.metadata) == 6
    assert data_artifact(logged.config).digest == artifact.digest
    assert data_artifact({**logged.config, "corpus.dev.0.sha256": "0"}).digest != artifact.digest
    own = {**logged.config, "data.train": "my/own.conllu", "corpus.train.0.file": "own.conllu"}
    assert data_artifact(own).name == "own.conllu"


def test_each_value_is_logged_at_its_step(logged):
    names = {name.partition(".")[0] for row in logged.rows for name in row if not name.startswith("_")}
    scores = {f"{stage}/{score}" for stage in ("val", "test") for score in SCORES}
    assert names == {*MEASURED, *scores, *PICTURES, *TABLES, "epoch", wandb_run.STEPS}
    assert logged.axes == {"*": wandb_run.STEPS}
    for name in MEASURED:
        # Lightning counts the steps that have ended before.
        assert [row[wandb_run.STEPS] for row in logged.rows if name in row] == [9, 19], name


def test_the_summary_is_of_the_best_model(trained, logged):
    facts = json.loads((trained / "metrics.json").read_text())
    rows = [line.split(",") for line in (trained / "learning-curve.csv").read_text().splitlines()]
    curve = [dict(zip(rows[0], map(float, row), strict=True)) for row in rows[1:]]
    best = best_row(curve, "val/accuracy")
    for name, value in {**{name: best[name] for name in best if name.startswith("val/")}, **facts["scores"]}.items():
        assert logged.summary[name] == pytest.approx(value), name
    assert logged.summary["best_epoch"] == best["epochs"]
    assert logged.summary["peak_memory_mb"] == facts["peak_memory_mb"]


def test_pictures_and_tables_are_kept(trained, logged):
    (part,) = trained.glob("wandb/offline-run-*")
    for name in PICTURES | TABLES:
        # Once, at the end.
        assert sum(f"{name}.path" in row for row in logged.rows) == 1
        assert (part / "files" / logged.summary[f"{name}.path"]).stat().st_size == logged.summary[f"{name}.size"]
        assert logged.summary[f"{name}.path"] in logged.files


def test_tables_show_the_examples_of_the_run(trained, logged):
    (part,) = trained.glob("wandb/offline-run-*")
    examples = {example.row: example for example in read_examples(trained / "examples.jsonl")}
    tables = {name: json.loads((part / "files" / logged.summary[f"{name}.path"]).read_text()) for name in TABLES}
    assert all(table["columns"] == ["source", "gold", "predicted", "loss"] for table in tables.values())
    losses = sorted((example.loss for example in examples.values()), reverse=True)
    worst = tables["worst-examples"]["data"]
    assert [row[-1] for row in worst] == pytest.approx(losses[:50])
    for source, gold, predicted, _ in [*worst, *tables["random-examples"]["data"]]:
        lengths = {len(text.split(" ")) for text in (source, gold, predicted)}
        assert len(lengths) == 1
        assert source in {" ".join(example.source) for example in examples.values()}
    # What is to be uploaded is in the run folder too, not in the user's home.
    for name in TABLES:
        artifact = logged.artifacts[f"run-{logged.run['run_id']}-{name}"]
        assert all(Path(file["local_path"]).is_relative_to(trained) for file in artifact["manifest"]["contents"])


def test_cells_hold_any_text():
    example = ScoredExample(0, ["a", "\ud800"], None, "<b>", math.nan, 1)
    ((source, gold, predicted, loss),) = cells([example])
    assert (source, gold, predicted) == ("a \\ud800", None, "<b>") and math.isnan(loss)
    wandb.Table(columns=COLUMNS, data=cells([example, example]))


def test_the_model_is_an_artifact(trained, logged):
    model = logged.artifacts[f"model-{logged.run['run_id']}"]
    assert model["type"] == "model" and set(model["aliases"]) == {"best", "latest"}
    metadata = json.loads(model["metadata"])
    card = json.loads((trained / "model/card.json").read_text())
    assert {name: metadata[name] for name in card} == card
    assert metadata["scores"] == json.loads((trained / "metrics.json").read_text())["scores"]
    # W&B reads the files in the folder of the run, from wherever the path to it is the same.
    files = {file["path"]: file["local_path"] for file in model["manifest"]["contents"]}
    assert files == {path.name: f"run/model/{path.name}" for path in (trained / "model").iterdir()}


def test_a_logger_of_ones_own_gets_the_arguments_of_the_model(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    data = TaggingDataModule("sample-en")
    model = SequenceTagger(data.codec, hidden_size=8, embedding_size=8)
    logger = WandbLogger(offline=True, save_dir=tmp_path)
    trainer = pl.Trainer(
        max_steps=1, limit_val_batches=0, logger=logger, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, data)
    wandb.teardown()
    config = logged_in(tmp_path).config
    assert config["hidden_size"] == 8 and config["optimizer"]["weight_decay"] == model.optimizer_options.weight_decay
    assert set(config) - {"_wandb"} == set(model.settings) and "codec" in model.hparams


# Failures


@pytest.mark.parametrize("key", ["", "0" * 40])
@pytest.mark.parametrize("mode", [*MODES, "", "nonsense"])
def test_modes_as_wandb_knows_them(mode, key, monkeypatch, recwarn):
    for name, value in {"WANDB_MODE": mode, "WANDB_API_KEY": key, "NETRC": os.devnull}.items():
        monkeypatch.setenv(name, value)
    if mode == "nonsense":
        with pytest.raises(ZooError, match="unknown W&B mode 'nonsense': known are online, offline, disabled, run"):
            wandb_mode(None)
        return
    published = "shared" if mode == "shared" else "online"
    online = {"": UNASKED if key else "disabled"}.get(mode, published if key else "offline")
    expected = {"offline": "offline", "dryrun": "offline", "disabled": "disabled"}.get(mode, online)
    assert wandb_mode(None) == wandb_mode(mode) == expected
    assert expected == UNASKED or wandb.Settings(mode=expected)
    told = [str(warning.message) for warning in recwarn]
    asks_for_a_server = MODES.get(mode) in ("online", "shared")
    assert any("no W&B key: the run is kept offline" in text for text in told) == (asks_for_a_server and not key)


def test_wandb_knows_no_other_mode():
    mode = wandb.Settings.model_fields["mode"].annotation
    assert set(mode.__args__) == set(MODES)


def test_a_run_without_a_network_continues_without_wandb(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_run, "START_SECONDS", 1)
    environment = {"WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = run_alone("spam", "--out=run", *FAST_SPAM, cwd=tmp_path, env=environment)
    assert "test/accuracy" in json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    assert "W&B" in done.stderr


def test_a_run_whose_wandb_dies_goes_on(tmp_path, monkeypatch):
    # The run starts a server of its own.
    wandb.teardown()
    model = spam.RECIPE.model
    step = model.training_step
    killed: list[int] = []

    def training_step(self, *args):
        if not killed:
            command = ["pgrep", "-P", str(os.getpid()), "wandb-core"]
            killed.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
            os.kill(killed[0], signal.SIGKILL)
        return step(self, *args)

    monkeypatch.setattr(model, "training_step", training_step)
    flags = ["--wandb=offline", "--trainer.log_every_n_steps=1", *FAST_SPAM]
    done = run_alone("spam", "--out=run", *flags, cwd=tmp_path)
    assert "test/accuracy" in json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    (told,) = [line for line in done.stderr.splitlines() if "W&B" in line]
    assert told.startswith("warning: W&B cannot log this run any more: ")
    assert "next:" in done.stdout


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--wandb_project=a/b", r"--wandb_project a/b: W&B takes at most 128 characters and none of / "),
        (f"--wandb_tags=a,{'b' * 65}", "--wandb_tags a,b+: W&B takes tags of at most 64 characters"),
    ],
    ids=["project", "tags"],
)
def test_names_that_wandb_refuses_are_refused_before_a_run(flag, message, tmp_path):
    with pytest.raises(ZooError, match=message):
        train(spam.RECIPE, [f"--out={tmp_path / 'run'}", "--wandb=offline", flag], test=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "name, expected",
    [("sample-en", "sample-en"), ("hf:a/b:c@d", "hf-a-b-c-d"), ("评论.tsv", "--.tsv"), ("a" * 200, "a" * 128)],
)
def test_any_name_becomes_one_that_wandb_takes(name, expected):
    assert wandb.Artifact(artifact_name(name), type="dataset").name == expected
