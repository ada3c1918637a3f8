"""The recipes of classification on the bundled samples and on own files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import yaml
from command_line import run
from small_runs import SMALL

from datamodules import ClassificationDataModule
from recipes import sentiment
from recipes.runner.run_folder import FILES
from recipes.runner.training import train
from zoo import from_pretrained
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError


def test_a_classifier_leaves_exactly_its_files(classified):
    files = {str(path.relative_to(classified)) for path in classified.rglob("*") if path.is_file()}
    (before,) = (path for path in files if path.startswith("checkpoints/step-"))
    files.remove(before)
    assert files == {
        "config.yaml", "metrics.json", "scores.txt", "examples.jsonl", "attention.json", "report.html",
        "learning-curve.csv", "learning-curve.png", "confusion.png", "reliability.png", "precision-recall.png",
        "checkpoints/best.ckpt", "checkpoints/last.ckpt",
        "model/config.json", "model/codec.json", "model/model.safetensors", "model/card.json", "model/README.md",
    }  # fmt: skip
    assert files <= set(FILES)
    scores = json.loads((classified / "metrics.json").read_text())["scores"]
    names = ("accuracy", "macro_f1", "ece", "f1", "auroc", "average_precision", "loss")
    assert set(scores) == {f"test/{name}" for name in names}
    assert "40 texts, 0 empty, 0 truncated" in (classified / "scores.txt").read_text()


def test_the_saved_classifier_is_the_tested_one(classified):
    facts = json.loads((classified / "metrics.json").read_text())
    again = json.loads(run("sentiment", "test", "--model", classified, cwd=classified.parent).stdout)
    assert again == pytest.approx(facts["scores"], abs=1e-5)
    # The calibration error shows that the temperature in the checkpoint is that of its weights.
    best = torch.load(classified / "checkpoints/best.ckpt", weights_only=True)
    rows = best["recorder"]["rows"]
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
    args = ["predict", "--model=run", "--format=jsonl"]
    rows = run("sentiment", *args, cwd=classified.parent, text=text).stdout.splitlines()
    rows = [json.loads(row) for row in rows]
    assert [row["text"] for row in rows[:4]] == ["I love it .", "", "awful 😀 , שלום", "so so "]
    for line, row in zip(tsv[1:], rows, strict=True):
        label, *chances = line.split("\t")
        assert label == row["label"]
        assert [float(p) for p in chances] == pytest.approx(list(row["probabilities"].values()), abs=6e-5)


def test_a_classifier_explains_every_line(classified):
    text = "I love it .\n\n<b>awful</b>\n"
    args = ["predict", "--model=run", "--explain"]
    printed = run("sentiment", *args, "integrated_gradients", cwd=classified.parent, text=text).stdout
    first, empty, last = map(json.loads, printed.splitlines())
    assert first["explanation"]["tokens"] == ["I", "love", "it", "."] and empty["explanation"] is None
    assert first["explanation"]["target"] == first["label"] and first["explanation"]["completeness_gap"] < 0.01
    page = run("sentiment", *args, "attention", "--format=html", cwd=classified.parent, text=text).stdout
    assert page.startswith("<!doctype html>") and page.count("<article>") == 3
    assert ">love</span>" in page and "<b>" not in page and len(last["explanation"]["attributions"]) > 2


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--explain", "occlusion", "--format", "tsv"], "use --format jsonl or html, not tsv"),
        (["--format", "html"], "add --explain integrated_gradients"),
        (["--explain", "gradient"], "input_x_gradient"),
    ],
)
def test_what_explains_nothing_is_refused(classified, flags, message):
    done = run("sentiment", "predict", "--model=run", *flags, cwd=classified.parent, text="good\n", fails=True)
    assert message in done.stderr


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


# Fields of a codec that these data do not set: those of imported Keras models, and of models made from language models.
ELSEWHERE = {"skip_unknown", "start", "fill", "empty", "as_language_model"}


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
        left = {"normalization", "sentencepiece_model"}
    else:
        options |= dict(tokenizer="sentencepiece", vocabulary_size=30)
        left = {"normalization", "stop_words", "vector_words", "vector_size"}
    args = [f"--data.{name}={value}" for name, value in options.items()]
    args += [f"--out={tmp_path / 'run'}", "--trainer.max_epochs=1", "--trainer.enable_progress_bar=false", *SMALL]
    train(sentiment.RECIPE, args, test=False)
    model, data = from_pretrained(tmp_path / "run/model"), ClassificationDataModule(**options)
    assert model.codec == data.codec
    assert model.hparams["class_weights"] == data.class_weights == [3.0, 2.0]
    untold = ClassificationCodec(["<pad>", "<unk>"], ["no", "yes"]).state
    for name, told in data.codec.state.items():
        assert (told == untold[name]) == (name in left | ELSEWHERE), name


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
