"""Vocabularies: deterministic, reversible, and safe against texts that look like special entries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.text import FILLING, PAD, START, TOKENIZERS, UNKNOWN, Inventory, Preprocessor, SentencePieceModel, Vocabulary
from zoo.text.subwords import MAX_PART, PARTS


@given(st.lists(st.text(max_size=3)), st.integers(1, 3))
def test_fit_counts_and_survives_json(pieces, min_count):
    vocabulary = Vocabulary.fit(pieces, min_count=min_count)
    assert vocabulary[:2] == (PAD, UNKNOWN)
    assert set(vocabulary[2:]) == {p for p in pieces if pieces.count(p) >= min_count} - {PAD, UNKNOWN}
    counts = [pieces.count(p) for p in vocabulary[2:]]
    assert counts == sorted(counts, reverse=True)
    assert Vocabulary.fit(reversed(pieces), min_count=min_count) == vocabulary
    again = Vocabulary(json.loads(json.dumps(list(vocabulary))))
    assert again == vocabulary
    for piece, i in zip(pieces, vocabulary.ids(pieces), strict=True):
        assert vocabulary[i] == (piece if piece in vocabulary else UNKNOWN)


def test_a_text_that_says_pad_is_not_padding():
    vocabulary = Vocabulary.fit([PAD, UNKNOWN, "a"])
    assert vocabulary.ids([PAD, "a"]) == [1, 2]
    assert PAD not in vocabulary


def test_without_an_unknown_entry_the_unknown_is_an_error():
    vocabulary = Vocabulary.fit(["a"], specials=())
    assert vocabulary.ids(["a"]) == [0]
    assert vocabulary.get("b", 7) == 7
    with pytest.raises(KeyError):
        vocabulary.ids(["b"])


@given(st.lists(st.sampled_from([PAD, UNKNOWN, START, FILLING, "<unseen>", "O", "X", "", "_"])))
def test_no_tag_is_special(names):
    inventory = Inventory.fit(names)
    assert set(inventory) == set(names)
    assert inventory.ids(inventory) == list(range(len(inventory)))
    assert all(name in inventory and inventory.get(name, -1) == i for i, name in enumerate(inventory))
    assert Inventory(json.loads(json.dumps(list(inventory)))) == inventory
    assert inventory.get("never", 7) == 7
    with pytest.raises(KeyError):
        inventory.ids(["never"])


def test_repeated_entries_are_refused():
    for kind in (Inventory, Vocabulary):
        with pytest.raises(ZooError, match="'a' occurs more than once"):
            kind(["a", "b", "a"])


def test_sentencepieces_are_learned_from_long_texts_in_parts():
    text = "a lovely\nfilm " * 5_000
    parts = PARTS.findall(text)
    assert "".join(parts) == text and max(map(len, parts)) <= MAX_PART < len(text)
    assert [word for part in parts for word in part.split()] == text.split()
    with pytest.raises(ZooError, match="expected texts to learn pieces from, got only empty ones"):
        SentencePieceModel.fit(["", " "], 20)
    unspaced = SentencePieceModel.fit(["无聊的电影" * 300_000, "很好"], 20)  # too long for sentencepiece as a whole
    assert "聊" in "".join(unspaced.pieces)


def test_tokenizers():
    assert TOKENIZERS["whitespace"](" I saw  her\u3000. ") == ["I", "saw", "her", "."]
    assert TOKENIZERS["characters"]("中国 国籍\n") == ["中", "国", "国", "籍"]


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


def test_texts_are_counted():
    preprocess = Preprocessor("words", max_length=2, stop_words=["the"])
    texts = ["a", "a b", "a b c", "", "the", "the a b"]
    assert preprocess.count(map(preprocess.split, texts)) == (6, 2, 1)
    preprocess = Preprocessor("words", max_length=2, start=True)
    assert preprocess.count([preprocess.split("a b")]) == (1, 0, 1)


@pytest.mark.parametrize("truncate, cut", [("head", [START, *"abc"]), ("tail", list("bcde"))])
def test_a_text_begins_with_a_token_that_counts(truncate, cut):
    preprocess = Preprocessor("characters", max_length=4, truncate=truncate, start=True)
    assert preprocess("ab") == [START, "a", "b"]
    assert preprocess("") == [START]
    assert preprocess("abcde") == cut


@pytest.mark.parametrize("name", sorted(set(TOKENIZERS) - {"jieba"}))
def test_no_text_says_a_token_of_the_preprocessor_s_own(name):
    assert not {START, FILLING} & set(TOKENIZERS[name](f"{START} a {FILLING}"))
