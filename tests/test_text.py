"""Vocabularies: deterministic, reversible, and safe against texts that look like special entries."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.text import PAD, TOKENIZERS, UNKNOWN, Vocabulary


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
    tags = Vocabulary.fit(["NOUN"], specials=())
    assert tags.ids(["NOUN"]) == [0]
    assert tags.get("VERB", 7) == 7
    with pytest.raises(KeyError):
        tags.ids(["VERB"])


def test_repeated_entries_are_refused():
    with pytest.raises(ZooError, match="'a' occurs more than once"):
        Vocabulary(["a", "b", "a"])


def test_tokenizers():
    assert TOKENIZERS["whitespace"](" I saw  her\u3000. ") == ["I", "saw", "her", "."]
    assert TOKENIZERS["characters"]("中国 国籍\n") == ["中", "国", "国", "籍"]
