"""Texts to words or characters, by rules that learn nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from zoo.errors import ZooError
from zoo.text.characters import CLUSTER, EXTENDING, UNSPACED

LETTER = rf"[^\W{UNSPACED}]"
LETTERS = rf"{LETTER}+(?:{EXTENDING}+{LETTER}*)*"
WORDS = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*|{CLUSTER}")
# All of ASCII's punctuation but the apostrophe.
KERAS_FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', " "))


def split_whitespace(text: str) -> list[str]:
    """Tokens between white space."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """Every character that is not white space, for scripts that put no space between words."""
    return [character for character in text if not character.isspace()]


def split_words(text: str) -> list[str]:
    """Words, with what an apostrophe joins to them; punctuation marks, emoji and Chinese characters, each by itself.

    No token begins with a mark that belongs to the character before it. Scripts that put no space between words, but
    Chinese and Japanese, are not split: a phrase in Thai is one token.
    """
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
        raise ZooError("the tokenizer sentencepiece, and no other, needs pieces: those of SentencePieceModel.fit(...)")


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
