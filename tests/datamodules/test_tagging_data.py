"""The tagging datamodule: formats, schemes, a user's own files, imported vectors, and what it refuses."""

from __future__ import annotations

import gzip

import pytest
import pytorch_lightning as pl
import torch

from datamodules import DataError, TaggingDataModule
from datamodules.readers.vectors import read_vectors
from zoo import SequenceTagger
from zoo.models.options import CharacterOptions

BMES = "中 B-LOC\n国 M-LOC\n人 E-LOC\n\n王 S-PER\n来 O\n"


@pytest.fixture
def files(tmp_path):
    paths = {}
    for split, text in {"train": BMES, "dev": BMES, "test": "王 S-PER\n京 S-ORG\n\n"}.items():
        paths[split] = tmp_path / f"{split}.bmes"
        paths[split].write_text(text, encoding="utf-8")
    return {split: str(path) for split, path in paths.items()}


def test_own_files_in_columns(files):
    data = TaggingDataModule(**files)
    assert data.codec.scheme == "BMES" and data.codec.tokenizer == "characters"
    assert set(data.codec.tags) == {"B-LOC", "M-LOC", "E-LOC", "O", "S-PER"}
    assert data.sentences("train")[0].tokens == ("中", "国", "人")
    data.setup("fit")
    tags = next(iter(data.train_dataloader())).tag_ids
    assert tags.max() < len(data.codec.tags)


def test_schemes_are_converted(files):
    data = TaggingDataModule(**files, convert_to="BIO")
    assert data.codec.scheme == "BIO"
    assert data.sentences("train")[0].tags == ("B-LOC", "I-LOC", "I-LOC")


def test_an_unseen_tag_is_reported_once_and_counted_as_wrong(files):
    data = TaggingDataModule(**files)

    def set_up_twice() -> None:
        data.setup("test")
        data.setup("test")

    with pytest.warns(UserWarning, match="test has tags that are not in train.*S-ORG") as caught:
        set_up_twice()
    assert len(caught) == 1
    assert next(iter(data.test_dataloader())).tag_ids.flatten().tolist() == [
        data.codec.tags.get("S-PER", -1),
        len(data.codec.tags),
    ]


@pytest.mark.parametrize("tag", ["<pad>", "<unk>", "<unseen>"])
def test_a_tag_is_spelled_like_a_special_entry(tmp_path, tag):
    path = tmp_path / "a.txt"
    path.write_text(f"{tag} {tag}\nb {tag}\nc X\n\n", encoding="utf-8")
    data = TaggingDataModule(train=str(path), dev=str(path))
    data.setup("fit")
    (batch,) = data.val_dataloader()
    assert list(data.codec.tags) == [tag, "X"]
    assert batch.tag_ids.tolist() == [[0, 0, 1]]
    model = SequenceTagger(data.codec, hidden_size=4, embedding_size=4, characters=CharacterOptions(output_size=0))
    assert set(model.predict([[tag, "b", "c"]])[0]) <= {tag, "X"}


def test_a_sentence_beyond_the_budget_is_kept(files):
    data = TaggingDataModule(**files, max_tokens=2)
    with pytest.warns(UserWarning, match="1 sentences are longer than max_tokens=2"):
        data.setup("fit")
    assert sorted(n for batch in data.train_dataloader() for n in batch.inputs.lengths.tolist()) == [2, 3]


def test_vocabularies_come_from_train_alone(files):
    data = TaggingDataModule(**files)
    assert "京" not in data.codec.words
    assert "人" in data.codec.words


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(dataset="ud-en-ewd"), "ud-en-ewt.*--data.train FILE"),
        (dict(dataset="sample-en", column="upoz"), "upos"),
        (dict(format="conll"), "known are conllu, columns"),
        (dict(max_tokens=0), "whole number from 1, got 0"),
        (dict(dataset="sample-en", convert_to="BIO"), "span tags"),
        (dict(dataset="sample-en", vectors="nowhere.txt"), "nowhere.txt"),
    ],
    ids=str,
)
def test_unusable_options_are_explained(options, message):
    def read() -> None:
        data = TaggingDataModule(**options)
        data.sentences("train")
        data.codec  # noqa: B018

    with pytest.raises(DataError, match=message):
        read()


def test_a_missing_split_names_its_flag(files):
    del files["test"]
    with pytest.raises(DataError, match="--data.test FILE"):
        TaggingDataModule(**files).setup("test")


def test_an_empty_column_is_refused(tmp_path):
    path = tmp_path / "a.conllu"
    path.write_text("1\tGo\tgo\tVERB" + "\t_" * 6 + "\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a.conllu:1.*xpos"):
        TaggingDataModule(train=str(path), column="xpos").sentences("train")


def test_vectors_plain_and_compressed(tmp_path):
    text = "3 2\nthe 1 2\nNew York 3 4.5\nthe 9 9\n"
    plain, packed = tmp_path / "v.txt", tmp_path / "v.vec.gz"
    plain.write_text(text, encoding="utf-8")
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        words, table = read_vectors(path)
        assert words == ["the", "New York"]
        assert torch.equal(table, torch.tensor([[1.0, 2.0], [3.0, 4.5]]))
    assert read_vectors(plain, limit=1)[0] == ["the"]
    plain.write_text("<unk> 0 1\nthe 1 2\n<pad> 0 0\n", encoding="utf-8")  # a model has its own
    assert read_vectors(plain)[0] == ["the"]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "a file without any"),
        (b"the 1 2\na 1\n", r":2: expected a word and 2 finite numbers"),
        (b"the 1 x\n", r":1:"),
        (b"the 1 2\nof nan 2\n", r":2: expected a word and 2 finite numbers"),
        (b"\x80\x04\x95\xff\xfe", "binary"),
    ],
)
def test_files_that_are_not_vectors_are_explained(tmp_path, content, message):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_vectors(path)


def test_vectors_reach_the_model_before_training(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("the 1 2\nof 3 -4\n", encoding="utf-8")
    data = TaggingDataModule("sample-en", vectors=str(path))
    model = SequenceTagger(data.codec, hidden_size=4, characters=CharacterOptions(output_size=0))
    trainer = pl.Trainer(max_steps=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.fit(model, data)
    table = model.embedding.vectors.weight[2:]
    expected = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    torch.testing.assert_close(table, expected / expected.std())
