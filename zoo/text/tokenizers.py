"""Splits texts into tokens: rules that need no training, and the one table of tokenizer names.

Other files ask here which tokenizers there are and what a tokenizer needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from zoo.errors import ZooError, unknown_name
from zoo.text.characters import CHINESE_OR_JAPANESE, CLUSTER, EXTENDING
from zoo.text.subwords import SentencePieceModel
from zoo.text.words import split_treebank

Splitter = Callable[[str], list[str]]

LETTER = rf"[^\W{CHINESE_OR_JAPANESE}]"
LETTERS = rf"{LETTER}+(?:{EXTENDING}+{LETTER}*)*"
WORDS = re.compile(rf"{LETTERS}(?:['’]{LETTERS})*|{CLUSTER}")
# All ASCII punctuation except the apostrophe.
KERAS_FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~', " "))


def split_whitespace(text: str) -> list[str]:
    """The tokens between white space.

    >>> split_whitespace("It doesn't  work.")
    ['It', "doesn't", 'work.']
    """
    return text.split()


def split_characters(text: str) -> list[str]:
    """Every character that is not white space, for scripts without spaces between words.

    >>> split_characters("我来 了。")
    ['我', '来', '了', '。']
    """
    return [character for character in text if not character.isspace()]


def split_words(text: str) -> list[str]:
    """Words, punctuation marks, emoji, and single Chinese and Japanese characters.

    >>> split_words("It doesn't work, 我来了!")
    ['It', "doesn't", 'work', ',', '我', '来', '了', '!']

    A word includes what follows an apostrophe inside it. No token begins with a combining mark that belongs to the
    character before it. Other scripts without spaces are not split: a phrase in Thai is one token.
    """
    return WORDS.findall(text)


def split_keras(text: str) -> list[str]:
    """The tokens between white space and the punctuation that Keras's `Tokenizer` filters by default.

    >>> split_keras("It doesn't work, does it?")
    ['It', "doesn't", 'work', 'does', 'it']
    """
    return text.translate(KERAS_FILTERS).split()


def split_jieba(text: str) -> list[str]:
    """Chinese words, by the dictionary of the optional package jieba.

    >>> split_jieba("我来到北京")
    ['我', '来到', '北京']

    Raises:
        ZooError: jieba is not installed.
    """
    try:
        # jieba has no types.
        import jieba  # type: ignore[import-untyped]
    except ImportError as error:
        raise ZooError("the tokenizer jieba needs a package: pip install lstm-zoo[jieba]") from error
    jieba.setLogLevel("WARNING")
    return [word for word in jieba.lcut(text) if not word.isspace()]


# The tokenizers that need no training.
TOKENIZERS: dict[str, Splitter] = {
    "whitespace": split_whitespace,
    "characters": split_characters,
    "words": split_words,
    "treebank": split_treebank,
    "keras": split_keras,
    "jieba": split_jieba,
}
# The tokenizer that needs a `SentencePieceModel`.
SENTENCEPIECE = "sentencepiece"
# The tokenizer whose tokens are the bytes of a text in UTF-8.
BYTES = "bytes"
# The tokenizers whose tokens `zoo.text.reversible` joins to a text again.
REVERSIBLE = (SENTENCEPIECE, "characters", "words", "jieba", "whitespace", BYTES)


def make_splitter(tokenizer: str, sentencepiece_model: Sequence[str] = ()) -> Splitter:
    """The function that splits a text into tokens.

    >>> split = make_splitter("words")
    >>> split("Good, but long.")
    ['Good', ',', 'but', 'long', '.']

    Args:
        tokenizer: a key of `TOKENIZERS`, or "sentencepiece".
        sentencepiece_model: a serialized `SentencePieceModel`, for "sentencepiece" and no other tokenizer.

    Raises:
        ZooError: the tokenizer is unknown, its sentencepiece model is missing, or it does not use one.
    """
    if tokenizer != SENTENCEPIECE and tokenizer not in TOKENIZERS:
        raise unknown_name("tokenizer", tokenizer, [*TOKENIZERS, SENTENCEPIECE])
    if (tokenizer == SENTENCEPIECE) != bool(sentencepiece_model):
        raise ZooError(
            "the tokenizer sentencepiece, and no other, needs a trained model: SentencePieceModel.fit(...).serialized"
        )
    if tokenizer == SENTENCEPIECE:
        return SentencePieceModel(sentencepiece_model)
    return TOKENIZERS[tokenizer]


def require_words(tokenizer: str, options: Mapping[str, object]) -> None:
    """Refuses options that are about words if the tokenizer splits words into pieces.

    Args:
        tokenizer: its name.
        options: by name, the values of options that are about words; an option is unused if its value is false.

    Raises:
        ZooError: an option is used, and the tokenizer is sentencepiece.
    """
    used = " and ".join(name for name, value in options.items() if value)
    if used and tokenizer == SENTENCEPIECE:
        raise ZooError(
            f"{used} belong to words, but sentencepiece splits words into pieces: leave them out, or use another "
            "tokenizer, words for example"
        )
