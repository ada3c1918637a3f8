"""A run's own score, `test --model RUN` and `predict` on the same rows agree, whatever flags touch the text."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from command_line import run

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.base import CorpusDataModule
from zoo import from_pretrained
from zoo.metrics import generation

TINY = (
    "--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3",
    "--trainer.precision=32-true", "--model.hidden_size=8", "--model.embedding_size=8",
)  # fmt: skip
TINY_WRITER = (*TINY[:4], "--model.embedding_size=8", "--model.encoder_size=8", "--model.decoder_size=8")
VECTORS = "the 1 2\nfree 3 -4\nstation 0 1\n"
# For each recipe, flags that turn text into other ids than the defaults do; together they name all of them.
RUNS = {
    "pos_tagging": [
        ["--data.lowercase=false", "--data.min_count=2", "--data.vectors=vectors.txt", "--data.max_vectors=2"],
        ["--data.normalization=[nfc,quotes,full_width]"],
    ],
    "ner": [["--data.convert_to=BIOES"]],
    "sentiment": [
        ["--data.tokenizer=sentencepiece", "--data.vocabulary_size=60", "--data.lowercase=false"],
        ["--data.tokenizer=whitespace", "--data.max_length=3", "--data.truncate=both", "--data.positive=negative"],
        ["--data.tokenizer=characters", "--data.min_count=1", "--data.max_length=20", "--data.truncate=tail"],
        ["--data.tokenizer=keras", "--data.stop_words=english", "--data.vectors=vectors.txt", "--data.max_vectors=2"],
        ["--data.normalization=[nfc,quotes,full_width]"],
    ],
    "translation": [
        ["--data.tokenizer=sentencepiece", "--data.algorithm=bpe", "--data.joint=false", "--data.lowercase=true"],
        ["--data.vocabulary_size=320", "--data.character_coverage=0.999", "--data.unit=text", "--data.language=en"],
        ["--data.tokenizer=words", "--data.min_count=2", "--data.stop_words=english", "--data.max_source=4"],
        ["--data.tokenizer=words", "--data.vectors=vectors.txt", "--data.max_vectors=2", "--data.max_target=5"],
        ["--data.tokenizer=characters", "--data.max_target=30", "--data.normalization=[nfc,quotes,full_width]"],
    ],
}
# Arguments of datamodules that do not touch the text, or say where it is, or that only code gives.
OTHERS = {
    "self", "dataset", "root", "train", "dev", "test", "format", "header", "max_tokens", "seed", "store",
    "codec", "extends", "context",
}  # fmt: skip
ELSEWHERE = {
    TaggingDataModule: {"column", "word_column", "scheme"},
    ClassificationDataModule: {"text_column", "label_column", "multi_label", "balance", "class_weights"},
    Seq2SeqDataModule: {"source", "target"},
}
DATA = {
    "pos_tagging": TaggingDataModule,
    "ner": TaggingDataModule,
    "sentiment": ClassificationDataModule,
    "translation": Seq2SeqDataModule,
}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_every_flag_that_touches_text_is_tried_here(kind):
    given = {
        flag.partition("=")[0].removeprefix("--data.")
        for recipe, runs in RUNS.items()
        if DATA[recipe] is kind
        for flags in runs
        for flag in flags
    }
    assert given == set(inspect.signature(kind.__init__).parameters) - OTHERS - ELSEWHERE[kind]


def share_of_right_tags(data: CorpusDataModule, folder: Path) -> float:
    sentences = data.sentences("test")
    text = "".join(json.dumps({"tokens": sentence.tokens}) + "\n" for sentence in sentences)
    (folder / "test.jsonl").write_text(text, encoding="utf-8")
    answers = run("ner", "predict", "test.jsonl", "--model=run", "--format=jsonl", cwd=folder).stdout.splitlines()
    found = [json.loads(line)["tags"] for line in answers]
    right = [a == b for one, tags in zip(sentences, found, strict=True) for a, b in zip(one.tags, tags, strict=True)]
    return sum(right) / len(right)


def share_of_right_labels(data: CorpusDataModule, folder: Path) -> float:
    texts = data.texts("test")
    (folder / "test.jsonl").write_text("".join(json.dumps({"text": one.text}) + "\n" for one in texts))
    answers = run("sentiment", "predict", "test.jsonl", "--model=run", "--format=jsonl", cwd=folder).stdout
    found = [json.loads(line)["label"] for line in answers.splitlines()]
    return sum(label == one.labels[0] for label, one in zip(found, texts, strict=True)) / len(texts)


def score_of_texts(data: CorpusDataModule, folder: Path) -> float:
    pairs = data.pairs("test")
    (folder / "test.txt").write_text("".join(pair.source + "\n" for pair in pairs), encoding="utf-8")
    found = run("translation", "predict", "test.txt", "--model=run", cwd=folder).stdout.split("\n")[:-1]
    return generation.bleu(found, [pair.target for pair in pairs], data.codec.language)["bleu"]


SCORES: dict[str, tuple[str, Callable[[CorpusDataModule, Path], float]]] = {
    "pos_tagging": ("test/accuracy", share_of_right_tags),
    "ner": ("test/accuracy", share_of_right_tags),
    "sentiment": ("test/accuracy", share_of_right_labels),
    "translation": ("test/bleu", score_of_texts),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe, flags", [(recipe, flags) for recipe, runs in RUNS.items() for flags in runs], ids=str)
def test_a_run_its_test_and_its_predictions_have_one_score(recipe, flags, tmp_path):
    (tmp_path / "vectors.txt").write_text(VECTORS)
    tiny = TINY_WRITER if recipe == "translation" else TINY
    run(recipe, "--out=run", *tiny, *flags, cwd=tmp_path)
    own = json.loads((tmp_path / "run/metrics.json").read_text())["scores"]
    tested = json.loads(run(recipe, "test", "--model=run", *TINY[:1], *TINY[3:4], cwd=tmp_path).stdout)
    assert tested == pytest.approx(own, abs=1e-6)
    name, score = SCORES[recipe]
    codec = from_pretrained(tmp_path / "run").codec
    data = DATA[recipe](import_module(f"recipes.{recipe}").RECIPE.defaults["data.dataset"], codec=codec)
    assert score(data, tmp_path) == pytest.approx(own[name], abs=1e-6)
