"""A codec that is extended knows all that it knew, under the same ids."""

from __future__ import annotations

import pytest

from zoo.codecs import ClassificationCodec, Seq2SeqCodec, TaggingCodec
from zoo.errors import ZooError
from zoo.text import Vocabulary
from zoo.text.reversible import SPECIALS

WORDS = ["<pad>", "<unk>", "dogs", "bark"]
MORE = ["<pad>", "<unk>", "cats", "bark", "sleep"]
BOTH = [*WORDS, "cats", "sleep"]
VECTORS = {"vector_words": ["<pad>", "<unk>", "dogs"], "vector_size": 2}


def test_a_tagging_codec_gets_words_characters_and_tags():
    old = TaggingCodec(WORDS, ["<pad>", "<unk>", "d"], ["B-X", "I-X", "O"], scheme="BIO", lowercase=False, **VECTORS)
    new = TaggingCodec(MORE, ["<pad>", "<unk>", "c", "d"], ["VERB", "NOUN"], max_characters=9)
    extended = old.extended(new)
    assert list(extended.words) == BOTH and list(extended.characters) == ["<pad>", "<unk>", "d", "c"]
    assert (extended.tags, extended.scheme) == (new.tags, None)
    kept = ("lowercase", "max_characters", "vector_words", "vector_size")
    assert all(getattr(extended, name) == getattr(old, name) for name in kept)


def test_a_classification_codec_gets_tokens_and_labels():
    old = ClassificationCodec(WORDS, ["bad", "good"], positive="bad", max_length=7)
    new = ClassificationCodec(MORE, ["a", "b", "c"], tokenizer="characters", multi_label=True)
    extended = old.extended(new)
    assert list(extended.vocabulary) == BOTH and list(extended.labels) == ["a", "b", "c"]
    assert extended.multi_label and extended.positive is None
    assert (extended.tokenizer, extended.max_length) == ("words", 7)


@pytest.mark.parametrize("shared", [True, False])
def test_a_seq2seq_codec_gets_words_of_the_sides_that_it_has(shared):
    own = Vocabulary((*SPECIALS, "a"))
    other = Vocabulary((*SPECIALS, "b", "a"))
    sides = [own] if shared else [own, own]
    more = [other] if shared else [other, other]
    extended = Seq2SeqCodec(*sides, tokenizer="words").extended(Seq2SeqCodec(*more, tokenizer="words", language="de"))
    both = [*SPECIALS, "a", "b"]
    assert list(extended.source_words) == both and list(extended.target_words) == ([] if shared else both)
    assert extended.language == "de"


def test_an_extended_codec_that_is_extended_by_the_same_stays_the_same():
    old = ClassificationCodec(WORDS, ["bad", "good"])
    new = ClassificationCodec(MORE, ["a", "b"])
    once = old.extended(new)
    assert once.extended(new) == once and old.extended(old) == old


def test_tags_keep_the_scheme_that_allows_them_all():
    codec = TaggingCodec(WORDS, WORDS, ["B-X", "E-X", "I-X", "S-X", "O"], scheme="BIOES")
    assert codec.with_labels(["O", "B-Y", "E-Y"]).scheme == "BIOES"
    assert codec.with_labels(["NOUN", "VERB"]).scheme is None
    assert codec.with_labels(["O", "B-Y", "L-Y", "U-Y", "I-Y"]).scheme == "BILOU"


def test_a_positive_label_stays_if_it_is_one_of_two_again():
    codec = ClassificationCodec(WORDS, ["bad", "good"], positive="bad")
    assert codec.with_labels(["fair", "bad"]).positive == "bad"
    assert codec.with_labels(["fair", "good"]).positive == "good"
    assert codec.with_labels(["bad", "fair", "good"]).positive is None


def test_texts_have_no_labels():
    with pytest.raises(ZooError, match="expected a model with labels, got one that reads by a Seq2SeqCodec"):
        Seq2SeqCodec(list(SPECIALS), tokenizer="words").with_labels(["a", "b"])
