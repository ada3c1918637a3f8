"""A datamodule that extends the codec of a trained model reads as that model does, and adds what its data have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datamodules import ClassificationDataModule, Seq2SeqDataModule, TaggingDataModule
from datamodules.catalog.origins import SAMPLES
from datamodules.errors import DataError
from zoo.codecs import TaggingCodec

DEV = str(SAMPLES / "en/dev.conllu")
REVIEWS = str(SAMPLES / "reviews/topic-dev.tsv")
TABLE = {"train": REVIEWS, "dev": REVIEWS, "text_column": "text", "label_column": "label"}


@pytest.fixture(scope="module")
def tagging() -> TaggingCodec:
    return TaggingDataModule("sample-en", lowercase=False, normalization=["nfc", "quotes"]).codec


@pytest.mark.parametrize("stored", [False, True])
def test_tagged_sentences_are_read_as_the_model_reads_them(stored, tagging, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = TaggingDataModule(train=DEV, dev=DEV, column="xpos", lowercase=False, normalization=["nfc", "quotes"])
    data = TaggingDataModule(train=DEV, dev=DEV, column="xpos", extends=tagging, store=stored)
    assert data.codec == tagging.extended(fresh.codec)
    assert not data.codec.lowercase and len(data.codec.words) > len(tagging.words)
    data.setup("fit")
    words = list(data.codec.words)
    read = data._encoded["train"].batch([0]).inputs
    ids = read.forms.word_ids[read.form_ids[0]]
    assert [words[i] for i in ids.tolist()] == list(fresh.sentences("train")[0].tokens)


def test_texts_are_split_by_the_pieces_of_the_model():
    old = ClassificationDataModule("sample-spam", tokenizer="sentencepiece", vocabulary_size=200, max_length=9).codec
    data = ClassificationDataModule(**TABLE, extends=old)
    assert data.codec.sentencepiece_model == old.sentencepiece_model and data.codec.max_length == 9
    assert set(data.codec.labels) == {text.labels[0] for text in data.texts("train")} != set(old.labels)
    data.setup("fit")
    assert data._encoded["train"].lengths.max() == 9


def test_stop_words_and_tokenizer_are_those_of_the_model():
    old = ClassificationDataModule("sample-topics", tokenizer="whitespace", stop_words="english").codec
    data = ClassificationDataModule("sample-spam", extends=old)
    assert (data.codec.tokenizer, data.codec.stop_words) == ("whitespace", old.stop_words)
    assert not {"the", "a"} & {*data.codec.vocabulary}


@pytest.mark.parametrize("tokenizer, joint", [("words", True), ("words", False), ("sentencepiece", False)])
def test_pairs_are_split_as_by_the_model(tokenizer, joint):
    old = Seq2SeqDataModule("sample-phrases", tokenizer=tokenizer, joint=joint, lowercase=True, language="de").codec
    files = {split: str(SAMPLES / "seq2seq/phrases-dev") for split in ("train", "dev")}
    data = Seq2SeqDataModule(**files, source="en", target="de", extends=old)
    codec = data.codec
    assert (codec.tokenizer, codec.lowercase, codec.language) == (tokenizer, True, "de")
    assert bool(codec.target_words) != joint
    has_new_words = len(codec.source_words) > len(old.source_words)
    # Pieces of sentencepiece spell all words.
    assert has_new_words == (tokenizer == "words")
    data.setup("fit")


def test_vectors_of_the_model_stay(tagging):
    codec = replace(tagging, vector_words=["<pad>", "<unk>", "dog"], vector_size=2)
    data = TaggingDataModule(train=DEV, dev=DEV, extends=codec)
    assert (data.codec.vector_words, data.codec.vector_size) == (codec.vector_words, 2)
    assert data.vector_table is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"vectors": "glove.txt"}, "--data.vectors glove.txt: a trained model cannot take new vectors"),
        ({"codec": TaggingCodec(["<pad>", "<unk>"], ["<pad>", "<unk>"], ["a", "b"])}, "give one of them"),
    ],
    ids=["vectors", "codec"],
)
def test_what_a_trained_model_cannot_take_is_refused(options, message, tagging):
    with pytest.raises(DataError, match=message):
        TaggingDataModule(train=DEV, dev=DEV, extends=tagging, **options)


def test_tokens_of_another_kind_are_refused(tagging):
    with pytest.raises(DataError, match="expected tokens that are single characters, as of the model to fine-tune"):
        _ = TaggingDataModule(train=DEV, dev=DEV, extends=replace(tagging, tokenizer="characters")).codec
