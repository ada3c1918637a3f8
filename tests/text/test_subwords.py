"""Sentencepiece models: trained on parts of long texts, restored from their serialized form."""

from __future__ import annotations

import json

import pytest

from zoo.errors import ZooError
from zoo.text import SentencePieceModel
from zoo.text.subwords import MAX_PART, MAX_PART_BYTES, PARTS


def test_long_texts_are_split_before_white_space():
    text = "a lovely\nfilm " * 5_000
    parts = PARTS.findall(text)
    assert "".join(parts) == text and max(map(len, parts)) <= MAX_PART < len(text)
    assert [word for part in parts for word in part.split()] == text.split()


def test_a_text_above_the_limit_of_sentencepiece_is_learned():
    text = "无聊的电影" * 5_000
    assert len(text.encode()) > MAX_PART_BYTES
    assert "聊" in "".join(SentencePieceModel.fit([text, "很好"], 20).pieces)


def test_empty_texts_are_refused():
    with pytest.raises(ZooError, match="expected texts to learn pieces from, got only empty ones"):
        SentencePieceModel.fit(["", " "], 20)


@pytest.mark.parametrize(
    "size, message", [(3, "fewer than this text has characters"), (500, "more than this text has")]
)
def test_an_impossible_size_is_refused_with_a_possible_one(size, message):
    with pytest.raises(ZooError, match=rf"{size} pieces are {message}.*: \d+ is the"):
        SentencePieceModel.fit(["a good film", "a bad film"], size, exact=True)


def test_a_model_survives_json():
    model = SentencePieceModel.fit(["a good film", "a bad film"], 16)
    restored = SentencePieceModel(json.loads(json.dumps(model.serialized)))
    assert restored.pieces == model.pieces
    assert restored("a good film \ud800") == model("a good film ?")
    with pytest.raises(ZooError, match="expected a sentencepiece model in lines of base64"):
        SentencePieceModel(["no model"])
