"""What a classifier reads of a text: length, truncation, filling and counts."""

from __future__ import annotations

import pytest

from zoo.errors import ZooError
from zoo.text import FILLING, START, TOKENIZERS, UNKNOWN, Preprocessor


@pytest.mark.parametrize("fill, filled", [("nowhere", "ab"), ("before", "..ab"), ("after", "ab..")])
def test_short_texts_are_filled_up(fill, filled):
    preprocess = Preprocessor("characters", max_length=4, fill=fill)
    shown = {FILLING: ".", UNKNOWN: "?"}
    assert "".join(shown.get(token, token) for token in preprocess("a b")) == filled
    assert preprocess("abcde") == list("abcd")
    assert preprocess("") == ([UNKNOWN] if fill == "nowhere" else [FILLING] * 4)
    with pytest.raises(ZooError, match="unknown place to fill 'left': known are after, before, nowhere"):
        Preprocessor(fill="left")


def test_an_empty_text_is_one_unknown_token_or_nothing():
    for empty, tokens in (("unknown", [UNKNOWN]), ("nothing", [])):
        preprocess = Preprocessor("words", stop_words=["the"], empty=empty)
        assert preprocess("") == preprocess("the") == tokens
        assert preprocess("the film") == ["film"]
        assert Preprocessor("words", start=True, empty=empty)("") == [START]
    with pytest.raises(ZooError, match="unknown reading of an empty text 'pad': known are nothing, unknown"):
        Preprocessor(empty="pad")


def test_empty_and_truncated_texts_are_counted():
    preprocess = Preprocessor("words", max_length=2, stop_words=["the"])
    texts = ["a", "a b", "a b c", "", "the", "the a b"]
    assert preprocess.count(map(preprocess.split, texts)) == (6, 2, 1)
    preprocess = Preprocessor("words", max_length=2, start=True)
    assert preprocess.count([preprocess.split("a b")]) == (1, 0, 1)


@pytest.mark.parametrize("truncate, cut", [("head", [START, *"abc"]), ("tail", list("bcde"))])
def test_the_start_token_counts_as_a_token(truncate, cut):
    preprocess = Preprocessor("characters", max_length=4, truncate=truncate, start=True)
    assert preprocess("ab") == [START, "a", "b"]
    assert preprocess("") == [START]
    assert preprocess("abcde") == cut


@pytest.mark.parametrize("name", sorted(set(TOKENIZERS) - {"jieba"}))
def test_no_text_contains_a_token_of_the_preprocessor(name):
    assert not {START, FILLING} & set(TOKENIZERS[name](f"{START} a {FILLING}"))
