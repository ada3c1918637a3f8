"""Summarization and translation on the bundled samples, run as people run them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
from command_line import ROOT, run, run_alone, start_python
from small_runs import interrupt, last_checkpoint

from recipes.reports.examples import read_examples
from recipes.runner import run_folder as folder

TINY = [
    "--model.embedding_size=8", "--model.encoder_size=8", "--model.decoder_size=8", "--model.attention.size=8",
    "--data.tokenizer=words", "--data.max_target=12", "--trainer.accelerator=cpu", "--trainer.max_epochs=2",
]  # fmt: skip
FILES = {
    "config.yaml", "metrics.json", "scores.txt", "samples.txt", "examples.jsonl", "attention.json", "report.html",
    "learning-curve.csv", "learning-curve.png",
    "attention-1.png", "attention-2.png", "attention-3.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt",
    "checkpoints/step-*.ckpt",
    "model/config.json", "model/codec.json", "model/model.safetensors", "model/card.json", "model/README.md",
}  # fmt: skip


@pytest.fixture(scope="module")
def summarizer(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("summarizer")
    args = [
        "--trainer.precision=32-true",
        "--model.attention.coverage_after=20",
        "--model.optimizer.learning_rate=0.02",
    ]
    run("summarization", "--out", "run", *TINY, *args, cwd=folder)
    return folder / "run"


def test_a_run_leaves_exactly_its_files(summarizer):
    files = {str(path.relative_to(summarizer)) for path in summarizer.rglob("*") if path.is_file()}
    assert {re.sub(r"step-\d+", "step-*", name) for name in files} == FILES
    assert set(folder.FILES) >= FILES
    facts = json.loads((summarizer / "metrics.json").read_text())
    assert set(facts["scores"]) == {f"test/{n}" for n in ("rouge1", "rouge2", "rougeL", "loss", "perplexity")}
    table = (summarizer / "scores.txt").read_text()
    assert "lead" in table and "copied 2-grams" in table and "novel 2-grams" in table and "length ratio" in table
    examples = list(read_examples(summarizer / "examples.jsonl"))
    assert [one.row for one in examples] == list(range(25))
    tokens = sum(one.tokens for one in examples)
    mean = sum(one.loss * one.tokens for one in examples) / tokens
    assert mean == pytest.approx(facts["scores"]["test/loss"], rel=1e-5)
    samples = (summarizer / "samples.txt").read_text("utf-8").split("\n\n")
    assert len(samples) == 20
    assert [line.split()[0] for line in samples[0].splitlines()] == ["source", "reference", "output", "lead"]


def test_the_saved_model_is_the_tested_one(summarizer):
    again = json.loads(run("summarization", "test", "--model", "run", cwd=summarizer.parent).stdout)
    facts = json.loads((summarizer / "metrics.json").read_text())
    assert again == pytest.approx(facts["scores"], abs=1e-5)
    other = json.loads(run("summarization", "test", "--model=run", "--max_length=2", cwd=summarizer.parent).stdout)
    assert other["test/rouge1"] != again["test/rouge1"] and other["test/loss"] == again["test/loss"]


# Whatever a resume could lose: draws of dropout and of the model's own guesses, coverage that begins at a step, and
# vectors that training has changed.
COMPLETE = [
    *TINY, "--trainer.precision=32-true", "--data.max_tokens=40", "--trainer.limit_train_batches=12",
    "--model.regularization.scheduled_sampling=0.3", "--model.attention.coverage_after=20",
    "--data.stop_words=english", "--data.vectors=v.txt", "--model.tune_vectors=true",
]  # fmt: skip


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    (folder / "v.txt").write_text("fire 1 2 -1\nbarn 0 -1 1\nMayor 3 0 1\n", encoding="utf-8")
    run("summarization", "--out", "run", *COMPLETE, cwd=folder)
    return folder / "run"


# A training that waits for Ctrl-C in its second epoch, before coverage begins.
WAITING = """
import sys
from recipes.runner.cli import main
from recipes.summarization import RECIPE
from small_runs import waiting

RECIPE.model.training_step = waiting(RECIPE.model.training_step, steps=15)
main(RECIPE, sys.argv[1:])
"""
PATH = os.pathsep.join(map(str, (ROOT, ROOT / "tests", Path(__file__).parent)))


def test_a_resumed_run_equals_an_uninterrupted_one(complete):
    """Ctrl-C in the middle of an epoch, before coverage begins: the weights are those of a run left alone."""
    folder = complete.parent
    # In a Python of its own: its strings have other hashes, and Ctrl-C finds no pytest around it.
    args = ["-c", WAITING, *COMPLETE, "--out", "stopped"]
    resume = interrupt(start_python(args, cwd=folder, env={"PYTHONPATH": PATH}), folder)
    stopped, alone = (last_checkpoint(folder / name) for name in ("stopped", "run"))
    assert stopped["global_step"] < 20 < alone["global_step"]
    run_alone("summarization", *resume, cwd=folder)
    resumed = last_checkpoint(folder / "stopped")
    assert resumed["global_step"] == alone["global_step"] and resumed["loops"] == alone["loops"]
    assert alone["state_dict"]["vectors.weight"].shape == (5, 3)
    for name, weights in alone["state_dict"].items():
        assert torch.equal(weights, resumed["state_dict"][name]), name


def test_stop_words_and_vectors_are_part_of_the_model(complete, tmp_path):
    words = json.loads((complete / "model/codec.json").read_text("utf-8"))
    assert "the" in words["stop_words"] and words["vector_words"] == ["<pad>", "<unk>", "fire", "barn", "Mayor"]
    args = ["test", "--model", complete / "model", "--trainer.precision=32-true"]
    again = json.loads(run("summarization", *args, cwd=tmp_path).stdout)
    assert again == pytest.approx(json.loads((complete / "metrics.json").read_text())["scores"], abs=1e-5)


def test_two_models_are_compared(summarizer):
    args = ["test", "--model", "run", "--compare", "run"]
    difference = json.loads(run("summarization", *args, cwd=summarizer.parent).stdout)["difference"]
    assert difference["rouge1"] == {"difference": 0.0, "p": 1.0}


def test_predict_keeps_order_and_empty_lines(summarizer):
    text = "A fire destroyed a barn near Orley .\n\nThe mayor has resigned .\n"

    def predict(*args) -> list[str]:
        done = run("summarization", "predict", "--model", "run", *args, cwd=summarizer.parent, text=text)
        return done.stdout.split("\n")

    lines = predict()
    assert len(lines) == 4 and lines[0] and lines[1] == "" and lines[2] and lines[3] == ""
    rows = [json.loads(line) for line in predict("--format=jsonl", "--n_best=3", "--beam=4")[:3]]
    assert [row["source"] for row in rows] == text.split("\n")[:3]
    assert [len(row["outputs"]) for row in rows] == [3, 1, 3]
    scores = [output["score"] for output in rows[0]["outputs"]]
    assert scores == sorted(scores, reverse=True)
    assert predict("--sample", "--seed=1") != predict("--sample", "--seed=2")
    placed = [json.loads(line)["outputs"] for line in predict("--offsets")[:3]]
    assert [[unit["text"] for unit in units] for units in placed] == [[lines[0]], [], [lines[2]]]
    assert (placed[0][0]["start"], placed[0][0]["end"]) == (0, len(text.split("\n")[0]))


@pytest.mark.parametrize(
    "recipe, args, message",
    [
        ("translation", ["--data.dataset=multi30"], "Did you mean multi30k"),
        ("translation", ["--data.source=fr"], "has no fr: known are de, en"),
        ("translation", ["--data.vocabulary_size=90000"], "is the largest possible number"),
        ("translation", ["--model.attention.kind=dot"], "additive, multiplicative, none"),
        ("summarization", ["--model.attention.kind=multiplicative"], "use the kind 'additive'"),
        ("summarization", ["--data.dataset=sample-en"], "Corpora for seq2seq are"),
        ("summarization", ["predict", "--model=nowhere"], "nowhere"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_mistakes_are_explained(tmp_path, recipe, args, message):
    done = run(recipe, *args, cwd=tmp_path, text="A text.\n", fails=True)
    assert message in done.stderr


@pytest.mark.parametrize(
    "args, message",
    [
        (["--beam=0"], "beam of at least 1"),
        (["--n_best=9", "--format=jsonl"], "n_best from 1 to the beam"),
        (["--n_best=2"], "--format jsonl"),
        (["--offsets", "--format=text"], "leave out --format text, or --offsets"),
        (["--offsets", "--n_best=2"], "leave out --sample and --n_best"),
        (["--min_length=9", "--max_length=3"], "min_length=9 and max_length=3"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_search_for_nothing_is_refused(summarizer, args, message):
    done = run("summarization", "predict", "--model=run", *args, cwd=summarizer.parent, text="A text.\n", fails=True)
    assert message in done.stderr
