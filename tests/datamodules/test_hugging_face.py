"""Datasets of Hugging Face are read by every task like the files of a user; nothing here needs a network."""

from __future__ import annotations

import json
from pathlib import Path

import lazy_loader
import pytest

from datamodules import ClassificationDataModule, DataError, Seq2SeqDataModule, TaggingDataModule
from datamodules.hugging_face import fetch_splits

# To import it takes seconds.
datasets = lazy_loader.load("datasets")


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Folders of this test for what is fetched, and no network."""
    pytest.importorskip("datasets")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    fetch_splits.__globals__["_fetch_once"].cache_clear()


def saved(folder: Path, features: dict[str, object], **splits: dict[str, list[object]]) -> str:
    """The name of a dataset that is saved to a folder."""
    made = {
        name: datasets.Dataset.from_dict(columns, features=datasets.Features(features))
        for name, columns in splits.items()
    }
    datasets.DatasetDict(made).save_to_disk(str(folder))
    return f"hf:{folder}"


def test_labels_of_texts_have_their_names(tmp_path):
    features = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    texts = {"text": [f"film {number}" for number in range(10)], "label": [0, 1] * 5}
    name = saved(tmp_path / "films", features, train=texts, validation={"text": ["dull"], "label": [0]})
    data = ClassificationDataModule(name, min_count=1)
    data.setup("fit")
    assert list(data.codec.labels) == ["bad", "good"]
    assert [text.labels for text in data.texts("dev")] == [("bad",)]
    assert data.splits == ("train", "dev")
    assert data.described("dev") == f"{name} dev"
    parts = ClassificationDataModule(name, train="train[:80%]", dev="train[80%:]", test="validation", min_count=1)
    assert [len(parts.texts(split)) for split in ("train", "dev", "test")] == [8, 2, 1]
    with pytest.raises(DataError, match="there is no test split.*train"):
        data.texts("test")
    withheld = saved(tmp_path / "withheld", features, train=texts, test={"text": ["x"], "label": [-1]})
    with pytest.raises(DataError, match=r"test-\w+.jsonl:1: expected a label in column label, got None"):
        ClassificationDataModule(withheld).texts("test")


def test_tags_of_tokens_have_their_names(tmp_path):
    tags = datasets.List(datasets.ClassLabel(names=["O", "B-PER", "I-PER"]))
    features = {"tokens": datasets.List(datasets.Value("string")), "ner_tags": tags, "picture": datasets.Image()}
    rows = {"tokens": [["Ada", "Lovelace", "wrote"], ["Ada", "slept"]], "ner_tags": [[1, 2, 0], [1, 0]]}
    rows["picture"] = [None, None]
    data = TaggingDataModule(saved(tmp_path / "names", features, train=rows, dev=rows), column="ner_tags")
    with pytest.warns(UserWarning, match="2 of 2 examples of dev"):
        data.setup("fit")
    assert data.codec.scheme == "BIO"
    assert [sentence.tags for sentence in data.sentences("train")] == [("B-PER", "I-PER", "O"), ("B-PER", "O")]


def test_translations_are_columns_of_their_languages(tmp_path):
    rows = {"id": [7, 8], "translation": [{"en": "A dog.", "de": "Ein Hund."}, {"en": "Cats.", "de": "Katzen."}]}
    features = {"id": datasets.Value("int64"), "translation": datasets.Translation(languages=["en", "de"])}
    name = saved(tmp_path / "pairs", features, train=rows)
    data = Seq2SeqDataModule(name, source="en", target="de", tokenizer="words")
    assert [pair.target for pair in data.pairs("train")] == ["Ein Hund.", "Katzen."]
    file = fetch_splits(name, {})["train"]
    assert [json.loads(line)["id"] for line in Path(file).read_text("utf-8").splitlines()] == [7, 8]


def test_a_folder_of_files_is_a_dataset(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    (folder / "test.jsonl").write_text('{"text": "c", "label": "x"}\n')
    first = fetch_splits(f"hf:{folder}", {})
    assert list(first) == ["train", "test"]
    assert Path(first["test"]).read_text() == '{"text": "c", "label": "x"}\n'
    written = Path(first["train"]).stat().st_mtime_ns
    fetch_splits.__globals__["_fetch_once"].cache_clear()
    assert fetch_splits(f"hf:{folder}", {}) == first
    assert Path(first["train"]).stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("hf:nobody/nothing", {}, "hf:nobody/nothing: expected a dataset of Hugging Face, got: "),
        ("hf:a b", {}, "expected hf:OWNER/NAME, hf:OWNER/NAME:CONFIGURATION@REVISION or hf:FOLDER, got 'hf:a b'"),
        ("SAVED", {"train": "training"}, "expected one of the splits odd, or a part of one such as train.*'training'"),
        ("SAVED", {}, "expected a split train, validation or test, got odd: name those to use with --data.train"),
    ],
)
def test_a_dataset_that_cannot_be_read_is_explained(tmp_path, name, wanted, said):
    if name == "SAVED":
        name = saved(tmp_path / "odd", {"text": datasets.Value("string")}, odd={"text": ["a"]})
    with pytest.raises(DataError, match=said):
        fetch_splits(name, wanted)


def test_a_dataset_that_is_a_script_is_never_run(tmp_path):
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DataError, match="expected a dataset of Hugging Face"):
        fetch_splits(f"hf:{folder}", {})
    assert not (tmp_path / "ran").exists()
