"""The recipe of language modeling, from training to text."""

from __future__ import annotations

import json

import pytest
from command_line import run

import zoo
from recipes.reports.examples import read_examples

SMALL = [
    "--model.hidden_size=16", "--model.embedding_size=16", "--data.streams=4", "--data.window=25",
    "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.precision=32-true",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language-model")
    run("language_modeling", *SMALL, "--out=run", cwd=folder)
    return folder


def test_a_run_has_scores_samples_and_surprises(trained):
    facts = json.loads((trained / "run/metrics.json").read_text("utf-8"))
    names = ("loss", "perplexity", "word_perplexity", "bits_per_character")
    assert set(facts["scores"]) == {f"test/{name}" for name in names}
    report = trained / "run"
    assert len((report / "samples.txt").read_text("utf-8").splitlines()) == 20
    examples = list(read_examples(report / "examples.jsonl"))
    assert len(examples) == 60
    for one in examples:
        surprises = [nats for _, nats in one.details["surprises"]]
        assert surprises == sorted(surprises, reverse=True) and surprises[0] >= one.loss > 0


def test_generate_continues_prompts_as_the_model_does(trained):
    arguments = ["--model=run", "--max_length=5", "--number=2", "--seed=3"]
    done = run("language_modeling", "generate", "The film", "She", *arguments, cwd=trained)
    model = zoo.from_pretrained(trained / "run")
    drawn = [(prompt, seed) for prompt in ("The film", "She") for seed in (3, 4)]
    expected = [model.generate([prompt], max_length=5, seed=seed)[0] for prompt, seed in drawn]
    assert done.stdout.splitlines() == expected
    beam = run("language_modeling", "generate", "She", "--model=run", "--beam=3", "--max_length=5", cwd=trained)
    assert beam.stdout.splitlines() == model.generate(["She"], beam=3, max_length=5)


def test_predict_scores_each_text(trained):
    done = run("language_modeling", "predict", "--model=run", cwd=trained, text="She sings .\n\n")
    first, second = map(json.loads, done.stdout.splitlines())
    score = zoo.from_pretrained(trained / "run").score(["She sings ."])[0]
    assert first["tokens"] == score.tokens
    assert first["log_probability"] == pytest.approx(score.total, rel=1e-5)
    assert second["tokens"] == ["</s>"]


def test_a_command_without_a_model_says_what_is_missing(trained):
    done = run("language_modeling", "generate", "She", cwd=trained, fails=True)
    assert "name a trained model with --model" in done.stderr
    done = run("language_modeling", "generat", cwd=trained, fails=True)
    assert "known are fit, validate, test, predict, baselines, convert, generate" in done.stderr
