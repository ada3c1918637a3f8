"""Model folders: reloaded equals saved, without pickle; damage is noticed; the bundled models are what they say."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest
import torch

import zoo
from datamodules import CATALOG, ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from zoo.errors import ZooError
from zoo.pretrained import BUNDLED
from zoo.text import Vocabulary

DATA = {module.task: module for module in (ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule)}
BUNDLE = runpy.run_path(Path(__file__).parents[1] / "tools" / "bundle_model.py")


def small(**options) -> zoo.SequenceTagger:
    torch.manual_seed(0)
    characters = Vocabulary.fit("Isawherduck.")
    words = Vocabulary.fit(["i", "saw", "."])
    options = {"hidden_size": 6, "word_size": 5, "character_output": 4, **options}
    return zoo.SequenceTagger(words, characters, ["A", "B-X", "I-X"], **options)


@pytest.mark.parametrize("options", [{}, {"head": "crf"}, {"cell": "gru", "character_encoder": "cnn"}], ids=str)
def test_reloaded_equals_saved(tmp_path, options):
    model = small(**options)
    model.save_pretrained(tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.json",
        "model.safetensors",
        "vocabulary.json",
    ]
    again = zoo.from_pretrained(tmp_path / "m")
    for (name, value), (other, restored) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other and torch.equal(value, restored)
    assert again.hparams == model.hparams
    assert again.predict(["I saw her duck ."]) == model.predict(["I saw her duck ."])
    assert not again.training


def test_half_precision_takes_half_the_space(tmp_path):
    model = small(hidden_size=64)
    sizes = [
        (model.save_pretrained(tmp_path / str(half), half=half) / "model.safetensors").stat().st_size
        for half in (False, True)
    ]
    assert sizes[1] < 0.6 * sizes[0]
    again = zoo.from_pretrained(tmp_path / "True")
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_a_model_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    model = zoo.TextClassifier(["<pad>", "<unk>", "\ud83d"], ["no", "yes"], hidden_size=2, embedding_size=2)
    with pytest.raises(UnicodeEncodeError):
        model.save_pretrained(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_damage_is_noticed(tmp_path):
    folder = small().save_pretrained(tmp_path / "m")
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}))
    with pytest.raises(ZooError, match="expects sha256 0000.*, got "):
        zoo.from_pretrained(folder)
    (folder / "card.json").unlink()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ZooError, match="model.safetensors"):
        zoo.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ZooError, match="expected JSON"):
        zoo.from_pretrained(folder)


def test_a_model_saved_over_one_with_a_card_is_loaded(tmp_path):
    folder = small(cell="gru").save_pretrained(tmp_path / "m")
    (folder / "card.json").write_text(json.dumps({"sha256": "0" * 64}))
    small().save_pretrained(folder)
    assert zoo.from_pretrained(folder).hparams["cell"] == "lstm"


@pytest.mark.parametrize("file", ["config.json", "vocabulary.json", "card.json"])
@pytest.mark.parametrize("content", ["[]", "{}", "null", '{"class": [], "hyperparameters": []}', '{"sha256": 1}'])
def test_json_that_describes_no_model_is_refused(tmp_path, file, content):
    folder = small().save_pretrained(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(ZooError, match=str(folder)):
        zoo.from_pretrained(folder)


@pytest.mark.parametrize(
    "name, value", [("hiden_size", 3), ("hidden_size", "six"), ("words", 5), ("tags", [[]]), ("recurrent", 1.5)]
)
def test_a_value_that_no_model_has_is_refused(tmp_path, name, value):
    folder = small().save_pretrained(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["hyperparameters"][name] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ZooError, match=f"{folder}: expected arguments and weights of a SequenceTagger, got: "):
        zoo.from_pretrained(folder)


def test_a_folder_of_another_class_is_refused(tmp_path):
    folder = small().save_pretrained(tmp_path)
    (folder / "config.json").write_text(json.dumps({"class": "Parser", "hyperparameters": {}}))
    with pytest.raises(ZooError, match="known are .*SequenceTagger"):
        zoo.from_pretrained(folder)


def test_unknown_names_list_the_known(tmp_path):
    with pytest.raises(ZooError, match="did you mean 'pos-en-ewt'.*ner-zh-resume"):
        zoo.from_pretrained("pos-en-ewd")
    with pytest.raises(ZooError, match="no model folder"):
        zoo.from_pretrained(tmp_path)


# What each bundled model makes of a text.
SHOWN = {
    "sentiment-zh-shopping": ("质量很差，用了两天就坏了", "0"),
    "topic-zh-shopping": ("苹果很脆很甜，物流也快", "水果"),
    "sentiment-en-sst2": ("two hours that i will never get back", "0"),
    "spam-en-sms": ("WINNER!! Claim your free prize now", "spam"),
    "pos-en-ewt": ("I saw her duck .", ["PRON", "VERB", "PRON", "NOUN", "PUNCT"]),
    "ner-zh-resume": (
        "王珺珊女士，中国国籍",
        ["B-NAME", "M-NAME", "E-NAME", "O", "O", "O", "B-CONT", "M-CONT", "M-CONT", "E-CONT"],
    ),
    "titles-en-acl": (
        "Padding wastes computation in recurrent neural networks. We present a padded batching method for LSTM taggers "
        "that is exact, and show that it is faster than packed sequences on a CPU.",
        "a padded batching method for lstm taggers",
    ),
    "translate-en-de-multi30k": (
        "A man in a blue shirt is standing on a ladder cleaning a window.",
        "Ein Mann in einem blauen Hemd steht auf einer Leiter und reinigt ein Fenster.",
    ),
}


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUNDLED.glob("*/card.json")))
class TestBundled:
    def test_is_small_and_described(self, name):
        card = zoo.list_pretrained()[name]
        assert {"name", "sha256", "data", "licence", "language", "command", "seed", "scores", "hardware"} <= set(card)
        assert sum(path.stat().st_size for path in (BUNDLED / name).iterdir()) < 15e6

    def test_its_card_names_the_data_that_it_is_scored_on(self, name):
        card = zoo.list_pretrained()[name]
        data = DATA[card["task"]](**card["data"])
        assert data.dataset in CATALOG and CATALOG[data.dataset].task == card["task"]

    def test_scores_a_slice_of_dev_as_its_card_says(self, name):
        if not os.environ.get("ZOO_DATA"):
            pytest.skip("ZOO_DATA is not set: the real corpora are not at hand")
        card = zoo.list_pretrained()[name]
        score = BUNDLE["slice_score"](zoo.from_pretrained(name), card["data"])
        assert score == pytest.approx(card["dev_slice_score"], abs=5e-4)

    def test_works_offline_and_from_any_folder(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        text, expected = SHOWN[name]
        (found,) = zoo.from_pretrained(name).predict([text])
        assert (found["label"] if isinstance(found, dict) else found) == expected
