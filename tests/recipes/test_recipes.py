"""The recipes on the bundled samples, run as people run them."""

from __future__ import annotations

import importlib
import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from command_line import ROOT, run, start
from small_runs import FAST, SMALL, TINY, interrupt, last_checkpoint, waiting

import recipes
from recipes import sentiment, spam
from recipes.runner.cli import main
from recipes.runner.training import train
from zoo import SequenceTagger, TextClassifier

HEADER = "# newpar\n# sent_id = 1\n"


CONLLU = HEADER + "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
    f"{i}\t{form}\t{form}\t_\t_\t_\t_\t_\t_\tx=1\n" for i, form in enumerate(["do", "n't", "go"], 1)
) + "\n"  # fmt: skip


@pytest.mark.parametrize("asked, used", [(None, "64"), ("7", "7")])
def test_kernels_kept_for_past_shapes_are_few_unless_asked_for(asked, used, monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, asked or "")
    if asked is None:
        monkeypatch.delenv(name)
    importlib.reload(recipes)
    assert os.environ[name] == used


def test_the_saved_model_is_the_tested_one(trained):
    again = json.loads(run("pos_tagging", "test", "--model", trained, cwd=trained.parent).stdout)
    facts = json.loads((trained / "metrics.json").read_text())
    for name, value in facts["scores"].items():
        assert again[name] == pytest.approx(value, abs=1e-5), name
    best = json.loads(run("pos_tagging", "validate", "--model", trained, cwd=trained.parent).stdout)
    assert best["val/accuracy"] == pytest.approx(facts["best_dev"]["val/accuracy"], abs=1e-5)
    args = ["test", "--model", trained / "checkpoints/best.ckpt", "--trainer.precision=32-true"]
    assert json.loads(run("pos_tagging", *args, cwd=trained.parent).stdout) == again


def test_a_run_is_repeated_by_its_config(trained, tmp_path):
    run("pos_tagging", "--config", trained / "config.yaml", "--out", "again", "--wandb=disabled", cwd=tmp_path)
    ours, theirs = (json.loads((f / "metrics.json").read_text())["scores"] for f in (trained, tmp_path / "again"))
    assert ours == theirs


def test_fit_reads_no_test_split(tmp_path):
    sample = ROOT / "datamodules/samples/en"
    args = ["--data.train", sample / "train.conllu", "--data.dev", sample / "dev.conllu"]
    # A learning rate this high makes a late epoch worse than the best one.
    args += ["--trainer.max_epochs=4", "--model.optimizer.learning_rate=0.5", "--ema=0.5"]
    run("pos_tagging", "fit", *args, "--out", "run", *TINY, "--trainer.limit_train_batches=10", cwd=tmp_path)
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    scores = [row["val/accuracy"] for row in last_checkpoint(tmp_path / "run")["recorder"]["rows"]]
    assert scores[-1] < max(scores) == facts["best_dev"]["val/accuracy"]
    assert all(name.startswith("val/") for name in facts["scores"])
    assert facts["scores"]["val/accuracy"] == pytest.approx(facts["best_dev"]["val/accuracy"], abs=1e-6)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, monkeypatch):
    """Ctrl-C in the middle of an epoch, then the printed command: the weights are those of a run left alone."""
    args = ["--trainer.max_epochs=2", "--data.max_tokens=60", "--trainer.limit_train_batches=6", *TINY]
    run("pos_tagging", "--out", "run", *args, cwd=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(SequenceTagger, "training_step", waiting(SequenceTagger.training_step, steps=9))
        resume = interrupt(start("pos_tagging", *args, "--out", "stopped", cwd=tmp_path), tmp_path)
    run("pos_tagging", *resume, cwd=tmp_path)
    alone, resumed = (last_checkpoint(tmp_path / name) for name in ("run", "stopped"))
    assert all(torch.equal(weights, resumed["state_dict"][name]) for name, weights in alone["state_dict"].items())
    assert [row["epochs"] for row in resumed["recorder"]["rows"]] == [1, 2]


def test_ner_scores_spans(tmp_path):
    run("ner", "--out", "run", *FAST, cwd=tmp_path)
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert "test/span_f1" in facts["scores"] and "val/span_f1" in facts["best_dev"]
    scores = (tmp_path / "run/scores.txt").read_text()
    assert "span label" in scores and "Spans are strict" in scores and "mode='strict'" in scores


def test_predict_keeps_order_and_empty_lines(trained):
    text = "I saw her duck .\n\nGo !\n"
    tsv = run("pos_tagging", "predict", "--model", "run", cwd=trained.parent, text=text).stdout
    blocks = tsv.split("\n")
    assert [line.split("\t")[0] for line in blocks] == ["I", "saw", "her", "duck", ".", "", "", "Go", "!", "", ""]
    jsonl = run("pos_tagging", "predict", "--model", "run", "--format=jsonl", cwd=trained.parent, text=text).stdout
    rows = [json.loads(line) for line in jsonl.splitlines()]
    assert [row["tokens"] for row in rows] == [["I", "saw", "her", "duck", "."], [], ["Go", "!"]]
    assert [len(row["tags"]) for row in rows] == [5, 0, 2]


@pytest.mark.parametrize("command", ["predict", "test"])
def test_ctrl_c_ends_quietly(command, capsys, monkeypatch):
    def stop(*_):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TextClassifier, "on_test_start", stop)  # inside of Lightning
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as ended:
            main(replace(spam.RECIPE, predict=stop), [command, "--model=spam-en-sms", "--data.dataset=sample-spam"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130 and capsys.readouterr() == ("", "")


def test_validations_within_an_epoch_and_after_several_are_counted_once(tmp_path):
    """Each token of the training is in one row, and the rows' epochs grow to those of the training."""
    args = ["--trainer.enable_progress_bar=false", "--trainer.limit_train_batches=6", *SMALL]
    facts = {}
    for name, flags in {
        "plain": ["--trainer.max_epochs=4"],
        "often": ["--trainer.max_epochs=4", "--trainer.val_check_interval=0.5"],
        "rarely": ["--trainer.max_epochs=4", "--trainer.check_val_every_n_epoch=2"],
    }.items():
        train(sentiment.RECIPE, [f"--out={tmp_path / name}", *args, *flags], test=False)
        facts[name] = json.loads((tmp_path / name / "metrics.json").read_text())
        facts[name] |= {"rows": last_checkpoint(tmp_path / name)["recorder"]["rows"]}
    assert {name: facts[name]["epochs"] for name in facts} == {"plain": 4, "often": 4, "rarely": 4}
    assert {name: len(facts[name]["rows"]) for name in facts} == {"plain": 4, "often": 8, "rarely": 2}
    assert len({sum(row["tokens"] for row in found["rows"]) for found in facts.values()}) == 1
    assert [row["epochs"] for row in facts["rarely"]["rows"]] == [2, 4]


def test_predict_writes_conllu_back_with_one_column_changed(trained):
    source = trained.parent / "in.conllu"
    source.write_text(CONLLU, encoding="utf-8")
    done = run("pos_tagging", "predict", source, "--model", "run", "--format=conllu", cwd=trained.parent)
    for before, after in zip(CONLLU.split("\n"), done.stdout.split("\n"), strict=True):
        old, new = before.split("\t"), after.split("\t")
        assert old[:3] + old[4:] == new[:3] + new[4:]
        assert len(new) < 10 or "-" in new[0] or new[3] != "_"
    out = trained.parent / "out.tsv"
    out.write_text("mine")
    args = ["predict", source, "--model", "run", "--output", out]
    assert "--overwrite" in run("pos_tagging", *args, cwd=trained.parent, fails=True).stderr
    assert out.read_text() == "mine"


def test_the_config_can_be_printed_and_used(tmp_path):
    done = run("pos_tagging", "--model.cell=gru", "--print_config", cwd=tmp_path)
    assert "cell: gru" in done.stdout and "words" not in done.stdout
