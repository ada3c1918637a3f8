"""The recipes on the bundled samples, run as people run them."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from command_line import ROOT, Process, run, run_alone, start
from wandb_files import wandb_records

import recipes
from datamodules import ClassificationDataModule
from recipes import pos_tagging, sentiment, spam
from recipes.runner.checkpoints import check_resumable
from recipes.runner.cli import main
from recipes.runner.evaluation import evaluate, load_model
from recipes.runner.run_folder import FILES, RunFolder
from recipes.runner.training import train
from zoo import TextClassifier, from_pretrained
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError

TINY = [
    "--model.hidden_size=16", "--model.embedding_size=16", "--model.characters.output_size=8", "--model.num_layers=1",
    "--trainer.precision=32-true", "--trainer.accelerator=cpu",
]  # fmt: skip
FAST = [*TINY, "--trainer.max_epochs=1", "--trainer.limit_train_batches=2"]
HEADER = "# newpar\n# sent_id = 1\n"
CONLLU = HEADER + "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n" + "".join(
    f"{i}\t{form}\t{form}\t_\t_\t_\t_\t_\t_\tx=1\n" for i, form in enumerate(["do", "n't", "go"], 1)
) + "\n"  # fmt: skip


def last_checkpoint(folder: Path) -> dict:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


def interrupt(process: Process, cwd: Path) -> list[str]:
    """Sends Ctrl-C to a run in the folder `stopped` of `cwd`, in the middle of its second epoch.

    Returns:
        The arguments that, as the run says, resume it.
    """
    while not (cwd / "stopped/checkpoints/last.ckpt").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)  # into the next epoch
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors[-2000:]
    epoch = last_checkpoint(cwd / "stopped")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert epoch["current"]["completed"] > 0
    _, *arguments = shlex.split(errors.strip().splitlines()[-1])
    assert arguments[0] == "-m" and arguments[2:] == ["--out", "stopped", "--resume"]
    return arguments[2:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = run("pos_tagging", "--out", "run", "--trainer.max_epochs=2", *TINY, cwd=folder)
    assert "predict --model run/model" in done.stdout
    return folder / "run"


@pytest.mark.parametrize("asked, used", [(None, "64"), ("7", "7")])
def test_kernels_kept_for_past_shapes_are_few_unless_asked_for(asked, used, monkeypatch):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, asked or "")
    if asked is None:
        monkeypatch.delenv(name)
    importlib.reload(recipes)
    assert os.environ[name] == used


def test_a_run_leaves_exactly_its_files(trained):
    files = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "metrics.json", "scores.txt", "learning-curve.csv", "learning-curve.png",
        "confusion.png", "mistakes.png",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "model/config.json", "model/codec.json", "model/model.safetensors", "model/card.json",
    }  # fmt: skip
    assert files <= set(FILES)
    facts = json.loads((trained / "metrics.json").read_text())
    assert facts["epochs"] == 2 and facts["seed"] == 0 and facts["train_tokens_per_second"] > 0
    assert set(facts["scores"]) >= {"test/accuracy", "test/unknown_accuracy", "test/sentence_accuracy", "test/macro_f1"}
    assert facts["versions"]["torch"] == torch.__version__


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
    run("pos_tagging", "--config", trained / "config.yaml", "--out", "again", cwd=tmp_path)
    ours, theirs = (json.loads((f / "metrics.json").read_text())["scores"] for f in (trained, tmp_path / "again"))
    assert ours == theirs


def test_nothing_is_overwritten_unasked(trained):
    before = (trained / "metrics.json").read_text()
    done = run("pos_tagging", "--out", "run", "--trainer.max_epochs=1", *TINY, cwd=trained.parent, fails=True)
    assert all(word in done.stderr for word in ("holds another run", "--resume", "--overwrite"))
    assert (trained / "metrics.json").read_text() == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_a_run_would_replace_is_kept_unless_it_may_go(tmp_path, name):
    for mine in (name, "notes.txt", "checkpoints/mine.ckpt", "model/mine.txt"):
        (tmp_path / mine).parent.mkdir(exist_ok=True)
        (tmp_path / mine).write_text("mine")
    folder = RunFolder(tmp_path)
    with pytest.raises(ZooError, match=rf"\({name}\): .*--overwrite"):
        folder.open(resume=False, overwrite=False)
    assert (tmp_path / name).read_text() == "mine"
    folder.open(resume=False, overwrite=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"notes.txt", "checkpoints/mine.ckpt", "model/mine.txt"}


def test_a_folder_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "scores.txt").write_text("mine")
    with pytest.raises(ZooError, match="scores.txt"):
        train(sentiment.RECIPE, [f"--out={tmp_path}", "--data.train=missing.tsv", "--data.dev=missing.tsv"], test=True)


@pytest.mark.parametrize("file, out", [("a", "a"), ("a", "a/b/c"), ("run/model", "run"), ("run/checkpoints", "run")])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, file, out):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(ZooError, match=f"expected a folder, got a file at {tmp_path / file}"):
        RunFolder(tmp_path / out).check(resume=False, overwrite=True)


def test_what_overwrite_cannot_delete_is_named(tmp_path):
    (tmp_path / "scores.txt").mkdir()
    with pytest.raises(ZooError, match="with write permission, got: .*scores.txt"):
        RunFolder(tmp_path).open(resume=False, overwrite=True)


def test_what_overwrite_leaves_empty_is_gone(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    RunFolder(tmp_path).open(resume=False, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoints"]


def test_fit_reads_no_test_split(tmp_path):
    sample = ROOT / "datamodules/samples/en"
    args = ["--data.train", sample / "train.conllu", "--data.dev", sample / "dev.conllu"]
    # A learning rate this high makes a late epoch worse than the best one.
    args += ["--trainer.max_epochs=4", "--model.optimizer.learning_rate=0.5", "--ema=0.5"]
    run("pos_tagging", "fit", *args, "--out", "run", *TINY, cwd=tmp_path)
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert all(name.startswith("val/") for name in facts["scores"])
    assert facts["scores"]["val/accuracy"] == pytest.approx(facts["best_dev"]["val/accuracy"], abs=1e-6)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    """Ctrl-C in the middle of an epoch, then the printed command: the weights are those of a run left alone."""
    args = ["--trainer.max_epochs=3", "--data.max_tokens=60", *TINY]
    run_alone("pos_tagging", "--out", "run", *args, cwd=tmp_path)
    resume = interrupt(start("pos_tagging", *args, "--out", "stopped", cwd=tmp_path), tmp_path)
    run_alone("pos_tagging", *resume, cwd=tmp_path)
    alone, resumed = (last_checkpoint(tmp_path / name) for name in ("run", "stopped"))
    assert all(torch.equal(weights, resumed["state_dict"][name]) for name, weights in alone["state_dict"].items())
    assert [row["epochs"] for row in resumed["callbacks"]["Recorder"]["rows"]] == [1, 2, 3]


def test_ner_scores_spans(tmp_path):
    run("ner", "--out", "run", "--trainer.max_epochs=2", *TINY, cwd=tmp_path)
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
        callbacks = last_checkpoint(tmp_path / name)["callbacks"]
        facts[name] |= {"rows": callbacks["Recorder"]["rows"]}
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
        lambda: check_resumable(path, pos_tagging.RECIPE, None, None),
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


def own_files(folder: Path, positive: str = "good") -> list[str]:
    """Flags that name files of one's own for all three splits."""
    rows = [(positive, "a fine film"), ("bad", "a dull film"), (positive, "fine"), ("bad", "so dull")] * 5
    content = "label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows)
    for split in ("train", "dev", "test"):
        (folder / f"{split}.tsv").write_text(content, encoding="utf-8")
    return [f"--data.{split}={folder / split}.tsv" for split in ("train", "dev", "test")]


@pytest.mark.parametrize(
    "change, message",
    [
        (["--model.hidden_size=17"], "has other values of hidden_size: give the values that the run began with"),
        (["--data.lowercase=false", "--model.dropout=0.1"], "has other values of dropout, lowercase: give the values"),
        (["labels"], "has other values of labels, positive: the training data or their preprocessing have changed"),
        ([], ""),
    ],
    ids=str,
)
def test_a_run_goes_on_only_as_the_model_that_it_is(tmp_path, change, message):
    """With another word or label its weights would say other things; and its files must stay as they are."""
    args = [f"--out={tmp_path / 'run'}", "--trainer.enable_progress_bar=false", *SMALL, *own_files(tmp_path)]
    train(sentiment.RECIPE, [*args, "--trainer.max_epochs=1"], test=True)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    if change == ["labels"]:
        own_files(tmp_path, positive="great")
        change = []
    again = [*args, *change, "--trainer.max_epochs=2", "--resume"]
    if not message:
        train(sentiment.RECIPE, again, test=True)
        assert json.loads((tmp_path / "run/metrics.json").read_text())["epochs"] == 2
        return
    with pytest.raises(ZooError, match=rf"continues with the model of .*last.ckpt, which {message}"):
        train(sentiment.RECIPE, again, test=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_what_a_model_is_scored_on_is_what_the_flags_say(tmp_path, capsys):
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


def test_the_config_can_be_printed_and_used(tmp_path):
    done = run("pos_tagging", "--model.cell=gru", "--print_config", cwd=tmp_path)
    assert "cell: gru" in done.stdout and "words" not in done.stdout


def test_wandb_offline_keeps_one_run_without_the_vocabulary(tmp_path):
    args = ["--trainer.max_epochs=2", "--trainer.log_every_n_steps=1", "--wandb=offline"]
    run_alone("pos_tagging", "--out=run", *args, *TINY, cwd=tmp_path, env={"WANDB_MODE": "disabled"})
    (records,) = (tmp_path / "run/wandb").glob("offline-run-*/run-*.wandb")
    config, summary, history = {}, {}, set()
    for record in wandb_records(records):
        for item in record.run.config.update:
            config[item.key or item.nested_key[0]] = item.value_json
        for item in record.summary.update:
            summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        history |= {item.key or item.nested_key[0] for item in record.history.item}
    assert "model" in config and len(json.dumps(config)) < 10_000
    scores = json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    assert summary["test/accuracy"] == pytest.approx(scores["test/accuracy"])
    assert {"train/loss", "val/accuracy", "learning-curve", "confusion"} <= history


def test_wandb_without_key_or_network_stops_nothing(tmp_path):
    environment = {"WANDB_MODE": "online", "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = run_alone("pos_tagging", "--out=run", *FAST, cwd=tmp_path, env=environment)
    assert "test/accuracy" in json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    assert "W&B" in done.stderr
    environment = {"WANDB_MODE": "online", "WANDB_API_KEY": "", "NETRC": str(tmp_path / "none")}
    done = run_alone("pos_tagging", "--out=other", *FAST, cwd=tmp_path, env=environment)
    assert "no W&B key" in done.stderr


SMALL = ["--model.hidden_size=16", "--model.embedding_size=16", *TINY[-2:]]


@pytest.fixture(scope="module")
def classified(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("classified")
    args = [
        "--out=run",
        "--trainer.max_epochs=3",
        "--model.pooling=max+attention",
        "--model.optimizer.learning_rate=0.01",
    ]
    done = run("sentiment", *args, *SMALL, cwd=folder)
    assert "recipes.sentiment predict --model run/model" in done.stdout
    return folder / "run"


def test_a_classifier_leaves_exactly_its_files(classified):
    files = {str(path.relative_to(classified)) for path in classified.rglob("*") if path.is_file()}
    assert files == {
        "config.yaml", "metrics.json", "scores.txt", "mistakes.tsv",
        "learning-curve.csv", "learning-curve.png", "confusion.png", "reliability.png", "precision-recall.png",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "model/config.json", "model/codec.json", "model/model.safetensors", "model/card.json",
    }  # fmt: skip
    assert files <= set(FILES)
    scores = json.loads((classified / "metrics.json").read_text())["scores"]
    names = ("accuracy", "macro_f1", "ece", "f1", "auroc", "average_precision", "loss")
    assert set(scores) == {f"test/{name}" for name in names}
    assert "40 texts, 0 empty, 0 truncated" in (classified / "scores.txt").read_text()
    header, *mistakes = (classified / "mistakes.tsv").read_text("utf-8").splitlines()
    assert header.split("\t") == ["gold", "predicted", "probability", "text"]
    assert len(mistakes) == min(30, round(40 * (1 - scores["test/accuracy"])))
    surest = [float(line.split("\t")[2]) for line in mistakes]
    assert surest == sorted(surest, reverse=True) and all(
        line.split("\t")[0] != line.split("\t")[1] for line in mistakes
    )


def test_the_saved_classifier_is_the_tested_one(classified):
    facts = json.loads((classified / "metrics.json").read_text())
    again = json.loads(run("sentiment", "test", "--model", classified, cwd=classified.parent).stdout)
    assert again == pytest.approx(facts["scores"], abs=1e-5)
    # The calibration error shows that the temperature in the checkpoint is that of its weights.
    best = torch.load(classified / "checkpoints/best.ckpt", weights_only=True)
    rows = best["callbacks"]["Recorder"]["rows"]
    row = max(rows, key=lambda row: row["val/macro_f1"])
    dev = json.loads(run("sentiment", "validate", "--model", classified, cwd=classified.parent).stdout)
    assert dev == pytest.approx({name: row[name] for name in dev}, abs=1e-5)
    assert best["state_dict"]["temperature"] != 1


@pytest.mark.parametrize(
    "recipe, args",
    [
        ("spam", []),
        ("topic", []),
        ("sentiment", ["--data.dataset=sample-reviews-zh", "--data.max_length=5", "--data.tokenizer=characters"]),
    ],
)
def test_bare_classifiers(recipe, args, tmp_path):
    run(recipe, "--out=run", "--trainer.max_epochs=1", *args, *SMALL, cwd=tmp_path)
    scores = json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    assert ("test/f1" in scores) == (recipe != "topic")
    assert (" 0 truncated" in (tmp_path / "run/scores.txt").read_text()) == (not args)


def test_a_classifier_predicts_every_line_in_order(classified):
    text = "\ufeffI love it .\n\nawful 😀 , שלום\n" + "so so \n" * 1200
    tsv = run("sentiment", "predict", "--model=run", cwd=classified.parent, text=text).stdout.splitlines()
    assert tsv[0] == "label\tnegative\tpositive" and len(tsv) == 1 + 1203
    assert len(set(tsv[4:])) == 1
    args = ["predict", "--model=run", "--format=jsonl", "--explain"]
    rows = run("sentiment", *args, cwd=classified.parent, text=text).stdout.splitlines()
    rows = [json.loads(row) for row in rows]
    assert [row["text"] for row in rows[:4]] == ["I love it .", "", "awful 😀 , שלום", "so so "]
    assert rows[0]["tokens"] == ["I", "love", "it", "."] and len(rows[0]["weights"]) == 4
    for line, row in zip(tsv[1:], rows, strict=True):
        label, *chances = line.split("\t")
        assert label == row["label"]
        assert [float(p) for p in chances] == pytest.approx(list(row["probabilities"].values()), abs=6e-5)
    done = run("sentiment", "predict", "--model=run", "--explain", cwd=classified.parent, text=text, fails=True)
    assert "--format jsonl" in done.stderr


@pytest.mark.parametrize(
    "args, message",
    [
        (["--data.dataset=sst"], "sst2"),
        (["--data.tokenizer=word"], "did you mean 'words'"),
        (["--data.train=a.txt"], "ends in .csv"),
        (["--model.hidden_size=0"], "must be at least 1"),
        (
            ["--model.class_weights=[1.0,2.0]"],
            "--model.class_weights follows from --data.class_weights: set --data.class_weights",
        ),
        (["--data.class_weights=[1.0]"], "expected a class weight above 0 for each of 2 labels, got [1.0]"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_with_texts_are_explained(tmp_path, args, message):
    done = run("sentiment", *args, cwd=tmp_path, fails=True)
    assert message in done.stderr and "known flags" not in done.stderr


REVIEWS = "label,text\n" + "good,a lovely film\nbad,a dull film\n" * 8
OWN = ["--data.train=train.csv", "--data.dev=dev.csv", "--trainer.max_epochs=1", "--out=run", *SMALL]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("train.csv", "stars,text\n1,a\n", "train.csv:1: expected a column label, got stars, text"),
        ("train.csv", 'label,text\ngood,a\nbad,"b\n', "train.csv:3: expected CSV, got a quote that is opened here"),
        ("train.csv", "label,text\ngood,a\ngood,b\n", "train.csv: expected at least two different labels"),
        ("train.jsonl", '{"label": "good", "text": NaN}\n', "train.jsonl:1: expected a text in column text, got nan"),
        ("train.jsonl", '{"label": "a", "text": "\\ud83d"}\n', "train.jsonl:1: expected Unicode text in column text"),
        ("dev.csv", "label,text\nodd,a\n", "dev.csv:2: expected one of the labels bad, good, got odd"),
        ("test.csv", "label,text\nodd,a\n", "test.csv:2: expected one of the labels bad, good, got odd"),
    ],
    ids=["missing column", "open quote", "one label", "NaN", "surrogate", "unknown label in dev", "and in test"],
)
def test_bad_texts_are_refused_before_training(tmp_path, name, content, message):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.csv").write_text(REVIEWS, encoding="utf-8")
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = run("sentiment", *OWN, f"--data.{name.split('.')[0]}={name}", cwd=tmp_path, fails=True)
    assert message in done.stderr and "epoch" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_without_a_test_split_dev_alone_is_reported(tmp_path):
    (tmp_path / "train.csv").write_text("\ufeff" + REVIEWS.replace("\n", "\r\n"), encoding="utf-8")
    (tmp_path / "dev.csv").write_text(REVIEWS + 'bad,""\n', encoding="utf-8")
    done = run("sentiment", *OWN, "--data.class_weights=[2,1]", "--data.max_length=2", cwd=tmp_path)
    assert "there is no test split" in done.stderr and "17 texts, 1 empty, 16 truncated" in done.stdout
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert {name.split("/")[0] for name in facts["scores"]} == {"val"}
    assert facts["counts"]["train"] == {"texts": 16, "empty": 0, "truncated": 16}
    assert facts["counts"]["dev"] == {"texts": 17, "empty": 1, "truncated": 16}
    model = from_pretrained(tmp_path / "run/model")
    assert list(model.codec.labels) == ["bad", "good"] and "lovely" in model.codec.vocabulary
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["data"]["class_weights"] == [2.0, 1.0]


def test_a_trained_model_outlives_its_evaluation(tmp_path):
    def fail(model, data, stage):
        raise ZooError("no report")

    args = [f"--out={tmp_path / 'run'}", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *SMALL]
    with pytest.raises(ZooError, match="no report"):
        train(replace(sentiment.RECIPE, report=fail), args, test=True)
    assert list(from_pretrained(tmp_path / "run/model").codec.labels) == ["negative", "positive"]


# Fields of a codec that no datamodule sets: imported Keras models have them.
FOR_KERAS = {"skip_unknown", "start", "fill", "empty"}


@pytest.mark.parametrize("reads_words", [True, False])
def test_a_model_is_told_all_that_its_data_knows(reads_words, tmp_path):
    """Were it not, it would read other tokens, or know other labels, than those it was trained on."""
    rows = [("long|sad", "A long Dull film"), ("", "A film"), ("sad", "A Dull film"), ("long", "A long film")] * 5
    (tmp_path / "a.tsv").write_text("label\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    (tmp_path / "stop.txt").write_text("long\n", encoding="utf-8")
    (tmp_path / "vectors.txt").write_text("film 1 2 3\n", encoding="utf-8")
    options = dict(
        train=str(tmp_path / "a.tsv"), dev=str(tmp_path / "a.tsv"), multi_label=True, class_weights=[3.0, 2.0],
        lowercase=False, max_length=3, truncate="both",
    )  # fmt: skip
    if reads_words:
        files = dict(stop_words=str(tmp_path / "stop.txt"), vectors=str(tmp_path / "vectors.txt"))
        options |= dict(tokenizer="whitespace", min_count=1, **files)
        left = {"sentencepiece_model"}
    else:
        options |= dict(tokenizer="sentencepiece", vocabulary_size=30)
        left = {"stop_words", "vector_words", "vector_size"}
    args = [f"--data.{name}={value}" for name, value in options.items()]
    args += [f"--out={tmp_path / 'run'}", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *SMALL]
    train(sentiment.RECIPE, args, test=False)
    model, data = from_pretrained(tmp_path / "run/model"), ClassificationDataModule(**options)
    assert model.codec == data.codec
    assert model.hparams["class_weights"] == data.class_weights == [3.0, 2.0]
    untold = ClassificationCodec(["<pad>", "<unk>"], ["no", "yes"]).state
    for name, told in data.codec.state.items():
        assert (told == untold[name]) == (name in left | FOR_KERAS), name


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


def test_several_labels_a_text(tmp_path):
    rows = [("long|sad", "a long dull film"), ("", "a film"), ("sad", "a dull film"), ("long", "a long film")]
    for split in ("train", "dev", "test"):
        content = "".join(f"{labels}\t{text}\n" for labels, text in [("label", "text"), *rows * 5])
        (tmp_path / f"{split}.tsv").write_text(content, encoding="utf-8")
    args = [f"--data.{split}={split}.tsv" for split in ("train", "dev", "test")]
    args += [
        "--data.multi_label=true",
        "--trainer.max_epochs=20",
        "--model.optimizer.learning_rate=0.02",
        "--out=run",
        *SMALL,
    ]
    run("topic", *args, cwd=tmp_path)
    facts = json.loads((tmp_path / "run/metrics.json").read_text())
    assert facts["scores"]["test/micro_f1"] > 0.9 and not (tmp_path / "run/confusion.png").exists()
    text = "\n".join(text for _, text in rows) + "\n"
    lines = run("topic", "predict", "--model=run", cwd=tmp_path, text=text).stdout.splitlines()
    assert lines[0] == "labels\tlong\tsad" and len(lines) == 5
    assert [line.split("\t")[0] for line in lines[1:]] == [labels for labels, _ in rows]
