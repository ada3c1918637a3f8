"""Texts to words or characters, by rules that learn nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zoo.errors import ZooError

# Chinese and Japanese put no space between words: here each of their characters is a token.
UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Accents, vowel signs and joiners, which Python's \w leaves out, belong to the letter before them.
MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0dff\u0e31-\u0e4e\u200c\u200d"
)
LETTERS = rf"[^\W{UNSPACED}](?:[^\W{UNSPACED}]|[{MARKS}])*"
WORDS = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*|\S")
# All of ASCII's punctuation but the apostrophe.
KERAS_FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', " "))


def split_whitespace(text: str) -> list[str]:
    """Tokens between white space."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """Every character that is not white space, for scripts that put no space between words."""
    return [character for character in text if not character.isspace()]


def split_words(text: str) -> list[str]:
    """Words, with what an apostrophe joins to them, punctuation marks and Chinese characters, each by itself."""
    return WORDS.findall(text)


def split_keras(text: str) -> list[str]:
    """Tokens between white space and the punctuation marks that Keras's `Tokenizer` filters by default."""
    return text.translate(KERAS_FILTERS).split()


def split_jieba(text: str) -> list[str]:
    """Chinese words by the dictionary of jieba, an optional package.

    Raises:
        ZooError: it is not installed.
    """
    try:
        import jieba
    except ImportError as error:
        raise ZooError("the tokenizer jieba needs a package: pip install lstm-zoo[jieba]") from error
    jieba.setLogLevel("WARNING")
    return [word for word in jieba.lcut(text) if not word.isspace()]


TOKENIZERS = {
    "whitespace": split_whitespace,
    "characters": split_characters,
    "words": split_words,
    "keras": split_keras,
    "jieba": split_jieba,
}


def require_pieces(tokenizer: str, pieces: Sequence[str]) -> None:
    """Refuses sentencepiece without its pieces, and pieces that no other tokenizer reads.

    Raises:
        ZooError: either.
    """
    if (tokenizer == "sentencepiece") != bool(pieces):
        raise ZooError("the tokenizer sentencepiece, and no other, needs pieces: those of SentencePieces.fit(...)")


def require_words(tokenizer: str, given: Mapping[str, object]) -> None:
    """Refuses what is made for words where a tokenizer's pieces are parts of words.

    Args:
        tokenizer: its name.
        given: by name, what a user may have given that is made for words; false where he has not.

    Raises:
        ZooError: something is given, and the tokenizer is sentencepiece.
    """
    what = " and ".join(name for name, value in given.items() if value)
    if what and tokenizer == "sentencepiece":
        raise ZooError(
            f"{what} belong to words, and the pieces of sentencepiece are none: leave them out, or use another "
            "tokenizer, words for example"
        )
