"""Tokenizers without training: no word is split at a mark that belongs to the character before it."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo.text import split_characters, split_whitespace, split_words
from zoo.text.characters import split_clusters

MARKS = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me")]
FORMATS = "\u00ad\u200c\u200d\u2060\ufeff\u200e\u200f\U000e0067"


def test_the_whitespace_and_character_tokenizers_split_as_named():
    assert split_whitespace(" I saw  her\u3000. ") == ["I", "saw", "her", "."]
    assert split_characters("中国 国籍\n") == ["中", "国", "国", "籍"]


def test_combining_marks_do_not_split_a_word():
    assert [mark for mark in MARKS if split_words(f"a{mark}b") != [f"a{mark}b"]] == []
    assert [mark for mark in MARKS if split_words(f"!{mark}") != [f"!{mark}"]] == []
    assert [mark for mark in FORMATS if split_words(f"a{mark}b") != [f"a{mark}b"]] == []
    assert len(MARKS) > 2000


INDIA = "हिन्दी தமிழ் ᮞᮥᮔ᮪ᮓ ꯃꯤꯇꯩ 𑄌𑄋𑄴𑄟𑄳𑄦 ދިވެހި"
ASIA = "ไทย ພາສາລາວ မြန်မာ ភាសា កម្ពុជា ꦗꦮ ᨣᩴᩤ ᠮᠣᠩᠭᠣᠯ"
WEST = "שָׁלוֹם مَرْحَبًا می\u200cرود ܣܘܪܝܝܐ̈ ߒߞߏ߫ ሀ፟ 𞤊𞤵𞤤𞤢𞥄𞤪 k͡p"
DECOMPOSED = [unicodedata.normalize("NFD", word) for word in ("café", "tiếng", "Yorùbá", "が")]


@pytest.mark.parametrize("word", [*INDIA.split(), *ASIA.split(), *WEST.split(), *DECOMPOSED])
def test_a_word_of_any_script_is_one_token(word):
    assert split_words(word) == [word]
    assert split_words(f"({word}) {word}.") == ["(", word, ")", word, "."]


EMOJI = "😀 👍🏽 👨‍👩‍👧 🙂‍↔️ ❤️‍🔥 🏳️‍🌈 🇩🇪 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ #️⃣ ☺︎ 🧑🏽‍🚀"


@pytest.mark.parametrize("emoji", EMOJI.split())
def test_an_emoji_is_one_token(emoji):
    assert split_words(emoji) == split_clusters(emoji) == [emoji]
    assert split_words(f"so {emoji}.") == ["so", emoji, "."]


def test_neighbouring_tokens_are_split():
    assert split_words("😀😀🇩🇪🇫🇷") == ["😀", "😀", "🇩🇪", "🇫🇷"]
    assert split_words("中文。我、你") == ["中", "文", "。", "我", "、", "你"]
    # A variation selector belongs to the character before it.
    assert split_words("葛\U000e0100城") == ["葛\U000e0100", "城"]
    assert split_words("क।") == ["क", "।"]
    # A zero-width space separates words.
    assert split_words("a\u200bb") == ["a", "\u200b", "b"]
    assert split_words("l'été d’or rock'n'roll 'tis") == ["l'été", "d’or", "rock'n'roll", "'", "tis"]


@given(st.text(alphabet="aé1 '’-.中\u0301\u200d\u00ad\ufe0f👍🏽🇩🇪\u200b\n"))
def test_tokens_and_clusters_contain_everything_but_white_space(text):
    spelled = "".join(text.split())
    assert "".join(split_words(text)) == "".join(split_clusters(text)) == spelled
    assert all(token[0] not in "\u0301\u200d\u00ad\ufe0f🏽" for token in split_words(f"a{spelled}"))
