"""The folder of a run: its files, and what a run may overwrite or resume."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import run
from small_runs import SMALL, TINY, own_files

from recipes import sentiment
from recipes.runner.run_folder import FILES, RunFolder
from recipes.runner.training import train
from zoo.errors import ZooError


def test_a_run_leaves_exactly_its_files(trained):
    files = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    own = {path for path in files if path.startswith("wandb/")}
    assert {"wandb/run-id", "wandb/logged-rows"} <= own
    # W&B has its files in a folder of its own.
    files -= own
    (before,) = (path for path in files if path.startswith("checkpoints/step-"))
    files.remove(before)
    assert files == {
        "config.yaml", "metrics.json", "scores.txt", "examples.jsonl", "report.html",
        "learning-curve.csv", "learning-curve.png", "confusion.png", "mistakes.png",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "model/config.json", "model/codec.json", "model/model.safetensors", "model/card.json", "model/README.md",
    }  # fmt: skip
    assert files <= set(FILES)
    facts = json.loads((trained / "metrics.json").read_text())
    assert facts["epochs"] == 2 and facts["seed"] == 0 and facts["train_tokens_per_second"] > 0
    assert set(facts["scores"]) >= {"test/accuracy", "test/unknown_accuracy", "test/sentence_accuracy", "test/macro_f1"}
    assert facts["versions"]["torch"] == torch.__version__


def test_nothing_is_overwritten_without_the_flag(trained):
    before = (trained / "metrics.json").read_text()
    done = run("pos_tagging", "--out", "run", "--trainer.max_epochs=1", *TINY, cwd=trained.parent, fails=True)
    assert all(word in done.stderr for word in ("holds another run", "--resume", "--overwrite"))
    assert (trained / "metrics.json").read_text() == before


@pytest.mark.parametrize("name", [name.replace("*", "12") for name in FILES])
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
        path = tmp_path / name.replace("*", "12")
        path.parent.mkdir(exist_ok=True)
        path.touch()
    RunFolder(tmp_path).open(resume=False, overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoints"]


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
