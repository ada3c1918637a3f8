"""Baselines are fitted on train, scored as models are, and stand beside a run's scores."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import run

from datamodules import (
    ClassificationDataModule,
    LanguageModelingDataModule,
    Seq2SeqDataModule,
    TaggingDataModule,
)
from recipes.baselines import classification, command, language_modeling, tagging, writing
from recipes.sentiment import RECIPE
from zoo.metrics.generation import lead, rouge

GOOD, BAD = "a fine , warm film", "a dull , cold film"
# "good" is the majority of train, "bad" that of dev and test.
TRAIN, DEV, TEST = ([("good", GOOD)] * good + [("bad", BAD)] * bad for good, bad in ((6, 4), (1, 3), (2, 8)))


def write_texts(folder: Path, name: str, rows: list[tuple[str, str]]) -> str:
    (folder / name).write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), "utf-8")
    return str(folder / name)


@pytest.fixture
def texts(tmp_path) -> ClassificationDataModule:
    rows = dict(train=TRAIN, dev=DEV, test=TEST)
    return ClassificationDataModule(**{split: write_texts(tmp_path, f"{split}.tsv", rows[split]) for split in rows})


def test_the_majority_class_is_that_of_train(texts):
    majority, _ = classification.baselines(texts, "test", quick=False)
    assert majority.scores["test/accuracy"] == pytest.approx(0.2) and majority.name == "majority class"
    majority, _ = classification.baselines(texts, "val", quick=False)
    assert majority.scores["val/accuracy"] == pytest.approx(0.25)


def test_tf_idf_learns_which_words_a_label_has(texts):
    _, tf_idf = classification.baselines(texts, "test", quick=True)
    assert tf_idf.scores["test/accuracy"] == tf_idf.scores["test/auroc"] == 1
    assert tf_idf.note == "words, C=1"


def test_tf_idf_reads_the_characters_of_chinese(tmp_path):
    rows = [("good", "质量很好"), ("bad", "质量太差了")] * 5
    files = {split: write_texts(tmp_path, f"{split}.tsv", rows) for split in ("train", "dev")}
    _, tf_idf = classification.baselines(ClassificationDataModule(**files), "val", quick=False)
    assert tf_idf.scores["val/accuracy"] == 1 and tf_idf.note.startswith("characters")


def test_tf_idf_may_give_a_text_several_labels(tmp_path):
    rows = [("good|long", f"{GOOD} epic"), ("bad", BAD), ("bad|long", f"{BAD} epic"), ("good", GOOD)] * 5
    files = {split: write_texts(tmp_path, f"{split}.tsv", rows) for split in ("train", "dev")}
    majority, tf_idf = classification.baselines(ClassificationDataModule(**files, multi_label=True), "val", quick=False)
    assert tf_idf.scores["val/accuracy"] == 1 and majority.scores["val/accuracy"] < 0.5


def test_a_run_leaves_out_what_takes_long(texts, monkeypatch):
    monkeypatch.setattr(classification, "QUICK_CHARACTERS", 100)
    assert [one.name for one in classification.baselines(texts, "test", quick=True)] == ["majority class"]
    assert len(list(classification.baselines(texts, "test", quick=False))) == 2
    monkeypatch.setattr(command, "QUICK_EXAMPLES", 5)
    assert command.quick_baselines(RECIPE, texts, "test") == []


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_a_baseline_that_fails_does_not_lose_a_run(kind, tmp_path):
    def fails(*_, **__):
        raise kind("no terms")

    files = {split: write_texts(tmp_path, f"{split}.tsv", [("good", "!"), ("bad", "")]) for split in ("train", "dev")}
    data = ClassificationDataModule(**files, tokenizer="whitespace")
    broken = replace(RECIPE, baselines=fails)
    with pytest.warns(UserWarning, match=f"no baselines: {kind.__name__}: no terms"):
        assert command.quick_baselines(broken, data, "val") == []


def test_without_scikit_learn_there_is_no_tf_idf(monkeypatch, tmp_path):
    for module in (classification, command):
        monkeypatch.setattr(module, "can_fit_tf_idf", lambda: False)
    done = run("sentiment", "baselines", cwd=tmp_path)
    assert "pip install 'lstm-zoo[baselines]'" in done.stderr
    assert [one["name"] for one in json.loads(done.stdout)] == ["majority class"]


def test_the_most_frequent_tag_of_each_word_is_predicted(tmp_path):
    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text.replace(" ", "\n").replace("/", "\t") + "\n", "utf-8")
        return str(tmp_path / name)

    train = write("train.tsv", "run/V run/N run/N dog/N Dog/P\n\nthe/D dog/N")
    dev = write("dev.tsv", "dog/N")
    # Of six tokens, "run" is a V once, and "cat", which is unknown, is the most frequent tag N once.
    test = write("test.tsv", "run/V run/N Dog/P cat/N cat/D\n\nthe/D")
    (found,) = tagging.baselines(TaggingDataModule(train=train, dev=dev, test=test), "test", quick=True)
    assert found.scores["test/accuracy"] == pytest.approx(4 / 6)
    assert found.scores["test/sentence_accuracy"] == pytest.approx(1 / 2)
    assert found.scores["test/unknown_accuracy"] == pytest.approx(1 / 2)


def test_lead_and_copy_are_scored_as_outputs():
    data = Seq2SeqDataModule("sample-headlines")
    (found,) = writing.baselines(data, "test", quick=False, metric="rouge")
    pairs = data.examples("test")
    length = writing.best_lead(data.examples("dev"), "en")
    expected = rouge([lead(pair.source, length, "en") for pair in pairs], [pair.target for pair in pairs], "en")
    assert found.scores == {f"test/{name}": value for name, value in expected.items()}
    assert list(writing.baselines(data, "test", quick=True, metric="rouge")) == []


def test_the_copy_of_a_source_that_is_its_target_is_perfect(tmp_path):
    sentences = "\n".join(f"the film number {number} is good" for number in range(9)) + "\n"
    for side in ("en", "de"):
        (tmp_path / f"a.{side}").write_text(sentences, "utf-8")
    stem = str(tmp_path / "a")
    data = Seq2SeqDataModule(train=stem, dev=stem, source="en", target="de", tokenizer="words")
    (found,) = writing.baselines(data, "val", quick=True, metric="bleu")
    assert found.scores["val/bleu"] == pytest.approx(1)


def test_unigrams_have_the_frequencies_of_train(tmp_path):
    for name, text in (("train", "a a b\n"), ("dev", "a b\n")):
        (tmp_path / f"{name}.txt").write_text(text, "utf-8")
    files = {split: str(tmp_path / f"{split}.txt") for split in ("train", "dev")}
    data = LanguageModelingDataModule(**files, min_count=1)
    (found,) = language_modeling.baselines(data, "val", quick=True)
    # Of a, b, the end, padding and the unknown word, with one more of each.
    total = 4 + len(data.codec.vocabulary)
    expected = -(math.log(3 / total) + 2 * math.log(2 / total)) / 3
    assert found.scores["val/perplexity"] == pytest.approx(math.exp(expected), rel=1e-5)


@pytest.mark.parametrize("fixture, names", [("trained", ["most frequent tag of each word"]), ("classified", [])])
def test_a_run_writes_its_baselines_beside_its_scores(fixture, names, request):
    facts = json.loads((request.getfixturevalue(fixture) / "metrics.json").read_text("utf-8"))
    assert [one["name"] for one in facts["baselines"]] == (names or ["majority class", "tf-idf"])
    for baseline in facts["baselines"]:
        # A baseline has no loss.
        assert set(baseline["scores"]) == set(facts["scores"]) - {"test/loss"}


def test_the_command_prints_a_table_and_json(tmp_path):
    done = run("pos_tagging", "baselines", "--split=dev", cwd=tmp_path)
    (found,) = json.loads(done.stdout)
    assert 0.5 < found["scores"]["val/accuracy"] < 1
    assert "most frequent tag of each word on sample-en dev" in done.stderr


def test_a_missing_split_is_refused(tmp_path):
    files = [f"--data.{split}={write_texts(tmp_path, f'{split}.tsv', TRAIN)}" for split in ("train", "dev")]
    done = run("sentiment", "baselines", "--split=test", *files, cwd=tmp_path, fails=True)
    assert "there is no test split" in done.stderr and "--data.test FILE" in done.stderr
    done = run("sentiment", "baselines", "--data.dataset=sst", cwd=tmp_path, fails=True)
    assert "sst2" in done.stderr
