"""Mistakes of a user are explained: wrong flags, damaged files and models of another task."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import ROOT, run
from small_runs import SMALL, own_files

from recipes import pos_tagging, sentiment, spam
from recipes.runner.checkpoints import check_resumable
from recipes.runner.cli import main
from recipes.runner.evaluation import evaluate, load_model
from recipes.runner.training import train
from zoo.errors import ZooError
from zoo.hub.checkpoints import read_checkpoint


@pytest.mark.parametrize(
    "args, message",
    [
        (["--data.dataset=ud-en-ewd"], "ud-en-ewt"),
        (["--model.cell=ltsm"], "did you mean 'lstm'"),
        (["--data.column=upoz"], "upos"),
        (["--model.hiden_size=3"], "--model.hidden_size"),
        (["--data.train=missing.conllu"], "missing.conllu"),
        (["tset"], "fit, validate, test, predict"),
        (["test", "--model=nowhere"], "pos-en-ewt"),
        (["--out=run", "--resume"], "nothing to resume"),
        (["--wandb=on"], "online, offline, disabled"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_explained(tmp_path, args, message):
    done = run("pos_tagging", *args, cwd=tmp_path, fails=True)
    assert message in done.stderr


def test_a_malformed_line_is_named(tmp_path):
    lines = (ROOT / "datamodules/samples/en/train.conllu").read_text("utf-8").splitlines()
    lines[4] = lines[4].replace("\t", " ", 1)
    (tmp_path / "bad.conllu").write_text("\n".join(lines), encoding="utf-8")
    done = run("pos_tagging", "--data.train=bad.conllu", "--data.dev=bad.conllu", cwd=tmp_path, fails=True)
    assert "bad.conllu:5: expected 10 columns" in done.stderr


def test_a_checkpoint_of_another_task_is_named(classified):
    path = classified / "checkpoints/best.ckpt"
    for read in (
        lambda: load_model(str(path), pos_tagging.RECIPE),
        lambda: check_resumable(path, read_checkpoint(path), recipe=pos_tagging.RECIPE, model=None, max_epochs=None),
    ):
        with pytest.raises(ZooError, match=f"{path} holds a TextClassifier, and .*pos_tagging needs a SequenceTagger"):
            read()


@pytest.mark.parametrize("content", [b"", b"text", b"PK", b"\x80\x02.", 1000], ids=str)
def test_a_damaged_checkpoint_is_named(classified, tmp_path, content):
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    path.write_bytes((classified / "checkpoints/best.ckpt").read_bytes()[:content] if content == 1000 else content)
    (tmp_path / "config.yaml").write_text("ema: 0.5")
    args = [f"--out={tmp_path}", "--resume=true", *SMALL]
    for read in (lambda: load_model(str(path), sentiment.RECIPE), lambda: train(sentiment.RECIPE, args, test=True)):
        with pytest.raises(ZooError, match=f"{path}: expected a checkpoint of a run, got a damaged file") as raised:
            read()
        assert "weights_only" not in str(raised.value)
    assert (tmp_path / "config.yaml").read_text() == "ema: 0.5"


def test_flags_choose_what_a_model_is_scored_on(tmp_path, capsys):
    stop = tmp_path / "stop.txt"
    stop.write_text("so\n")
    args = [f"--out={tmp_path / 'run[/b]'}", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *SMALL]
    train(sentiment.RECIPE, [*args, *own_files(tmp_path, "positive"), f"--data.stop_words={stop}"], test=True)
    printed = capsys.readouterr()
    assert "run[/b], the best of 1 epochs, on" in printed.out and "next:" in printed.out
    moved = tmp_path / "elsewhere"
    (tmp_path / "run[/b]").rename(moved)
    stop.unlink()  # the model has its words
    evaluate(sentiment.RECIPE, ["--model", str(moved)], "test")
    own = json.loads(capsys.readouterr().out)
    assert own == pytest.approx(json.loads((moved / "metrics.json").read_text())["scores"])
    with pytest.raises(ZooError, match="en-test.tsv:3: expected one of the labels bad, positive, got negative"):
        evaluate(sentiment.RECIPE, ["--model", str(moved), "--data.dataset=sample-reviews-en"], "test")
    for flag in ("--data.max_length=2", "--data.tokenizer=characters", "--data.lowercase=false"):
        with pytest.raises(ZooError, match=f"{flag.split('=')[0]} applies to training only.*leave it out"):
            evaluate(sentiment.RECIPE, ["--model", str(moved), flag], "test")
    with pytest.raises(ZooError, match="holds a TextClassifier, and python -m recipes.pos_tagging needs"):
        evaluate(pos_tagging.RECIPE, ["--model", str(moved)], "test")
    for wrong in ("a: 1\n", "data: [\n", "- 1\n"):
        (moved / "config.yaml").write_text(wrong)
        with pytest.raises(ZooError, match="config.yaml: expected the settings of a run"):
            evaluate(sentiment.RECIPE, ["--model", str(moved)], "test")


@pytest.mark.parametrize(
    "name, message", [("stdin", "standard input is closed"), ("stdout", "standard output is closed")]
)
def test_a_closed_stream_is_named(name, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, name, None)  # as Python has it where the shell says <&- or >&-
    with pytest.raises(SystemExit, match="2"):
        main(spam.RECIPE, ["predict"])
    assert capsys.readouterr().err.startswith(f"error: {message}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_output_that_is_full_is_named(tmp_path):
    """In a Python of its own, which at its end flushes its streams once more."""
    (tmp_path / "a.txt").write_text("a\n")
    command = f"{shlex.quote(sys.executable)} -m recipes.spam predict a.txt > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "No space left" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_checkpoint_that_describes_no_model_is_named(classified, tmp_path):
    path, whole = tmp_path / "some.ckpt", torch.load(classified / "checkpoints/best.ckpt", weights_only=True)
    for content, message in (
        ([1], "without hyper_parameters, model_class, state_dict"),
        ({"state_dict": {}}, "without hyper_parameters, model_class, state_dict"),
        ({**whole, "hyper_parameters": None}, "without hyper_parameters, model_class, state_dict"),
        ({**whole, "state_dict": {}}, "expected arguments and weights of a TextClassifier"),
    ):
        torch.save(content, path)
        with pytest.raises(ZooError, match=f"{path}: .*{message}"):
            load_model(str(path), sentiment.RECIPE)


def test_a_model_of_other_tags_is_named(trained):
    args = ["test", "--model", "run", "--data.column", "xpos"]
    done = run("pos_tagging", *args, cwd=trained.parent, fails=True)
    assert "but the model was trained on" in done.stderr and "--data.column" in done.stderr


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--trainer.max_epochs=0", "max_epochs 0 leaves nothing to report"),
        ("--trainer.max_steps=0", "max_steps 0 leaves nothing to report"),
        ("--trainer.limit_val_batches=0", "limit_val_batches 0 leaves nothing to report"),
        ("--trainer.limit_test_batches=0", "limit_test_batches 0 leaves nothing to report"),
        ("--trainer.enable_checkpointing=false", "enable_checkpointing false saves no checkpoint"),
        ("--trainer.barebones=true", "barebones true saves no checkpoint"),
        ("--trainer.fast_dev_run=true", "give --trainer.max_epochs 2 --trainer.limit_train_batches 2"),
        ("--trainer.check_val_every_n_epoch=2", "never scores a model on dev in --trainer.max_epochs 1"),
        ("--trainer.val_check_interval=99", "--trainer.check_val_every_n_epoch null; or give a fraction of an epoch"),
        ("--ema=1", r"decay in \[0, 1\) as --ema, 0 for no average, got 1"),
        ("--trainer.max_epochs=-3", "`max_epochs` must be a non-negative integer or -1"),
        ("--model.optimizer.learning_rate=-1", "expected a learning_rate above 0, got -1"),
        ("--model.optimizer.weight_decay=-1", "expected a weight_decay of at least 0, got -1"),
        ("--model.optimizer.warmup=2", r"expected warmup, a fraction of all steps, in \[0, 1\], got 2"),
        ("--wandb=on", "online, offline, disabled"),
    ],
)
def test_settings_that_leave_nothing_to_report_are_refused_before_training(tmp_path, flag, message):
    with pytest.raises(ZooError, match=message):
        train(sentiment.RECIPE, [f"--out={tmp_path / 'run'}", "--trainer.max_epochs=1", *SMALL, flag], test=True)
    assert not (tmp_path / "run").exists()


def test_a_training_that_ends_too_early_says_so(tmp_path):
    args = [f"--out={tmp_path / 'run'}", "--trainer.max_steps=1", "--trainer.enable_progress_bar=false", *SMALL]
    with pytest.raises(ZooError, match="ended before the model was scored on dev"):
        train(sentiment.RECIPE, args, test=True)


def test_printed_commands_can_be_pasted_whatever_the_folder_is_called(tmp_path, capsys):
    out = tmp_path / "sp ace $HOME"
    args = [f"--out={out}", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *SMALL]
    train(sentiment.RECIPE, args, test=False)
    start, command = capsys.readouterr().out.strip().splitlines()[-1].split("  ")
    assert start == "next:"
    assert shlex.split(command)[1:] == ["-m", "recipes.sentiment", "predict", "--model", str(out / "model")]
