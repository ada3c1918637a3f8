"""The one table of tokenizers, and tokenizers whose pieces become the text again."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.errors import ZooError
from zoo.text import TOKENIZERS, SentencePieceModel, make_splitter
from zoo.text.reversible import ReversibleTokenizer
from zoo.text.tokenizers import REVERSIBLE, SENTENCEPIECE

MODEL = SentencePieceModel.fit(["a good film 我来了"] * 3, 280, faithful=True).serialized
NEEDS = {SENTENCEPIECE: MODEL}


@pytest.mark.parametrize("tokenizer", [*TOKENIZERS, SENTENCEPIECE])
def test_every_tokenizer_splits_or_names_what_it_needs(tokenizer):
    if tokenizer == "jieba":
        pytest.importorskip("jieba")
    split = make_splitter(tokenizer, NEEDS.get(tokenizer, ()))
    assert "".join(split("a film")).replace("▁", "") == "afilm"
    with pytest.raises(ZooError, match=r"sentencepiece, and no other, needs a trained model: SentencePieceModel.fit"):
        make_splitter(tokenizer, () if tokenizer == SENTENCEPIECE else MODEL)


def test_an_unknown_tokenizer_is_refused_with_the_known_ones():
    with pytest.raises(ZooError, match="unknown tokenizer 'word': did you mean 'words'.*sentencepiece"):
        make_splitter("word")
    with pytest.raises(
        ZooError,
        match="unknown tokenizer 'keras': known are bytes, characters, jieba, sentencepiece, whitespace, words",
    ):
        ReversibleTokenizer("keras")


@pytest.mark.parametrize("tokenizer", REVERSIBLE)
@given(text=st.text(alphabet="ab .'-中了\u0301👍🏽\u200b\n"))
def test_joined_pieces_are_the_text_with_single_spaces(tokenizer, text):
    if tokenizer == "jieba":
        pytest.importorskip("jieba")
    reversible = ReversibleTokenizer(tokenizer, NEEDS.get(tokenizer, ()))
    assert reversible.join(reversible.split(text)) == " ".join(unicodedata.normalize("NFC", text).split())
