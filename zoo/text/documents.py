"""Raw texts to sentences of tokens, each with its place in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from zoo.text.sentences import split_sentences
from zoo.text.tokenizers import TOKENIZERS
from zoo.text.words import word_lengths

STRETCH = re.compile(r"\S+")


class Token(NamedTuple):
    """A token and its place: `document[start:end]` is its text."""

    text: str
    start: int
    end: int
    is_clitic: bool = False
    """Whether it is written together with the word before it, as n't in "don't"."""


def read_document(text: str, tokenizer: str = "treebank") -> list[list[Token]]:
    """The sentences of a raw text and their tokens.

    >>> [[token.text for token in sentence] for sentence in read_document("I can't. Why?")]
    [['I', 'ca', "n't", '.'], ['Why', '?']]

    Args:
        text: of any length; an empty line ends a sentence.
        tokenizer: a key of `zoo.text.TOKENIZERS`. A text for "whitespace" is one sentence whose tokens are separated
            already.

    Raises:
        ZooError: the package of the tokenizer is not installed.
    """
    if tokenizer == "whitespace":
        tokens = [Token(match[0], match.start(), match.end()) for match in STRETCH.finditer(text)]
        return [tokens] if tokens else []
    sentences = []
    start = 0
    for sentence in split_sentences(text):
        end = start + len(sentence)
        if tokenizer == "treebank":
            tokens = _treebank_tokens(text, start, end)
        else:
            tokens = _places(text, TOKENIZERS[tokenizer](sentence), start)
        if tokens:
            sentences.append(tokens)
        start = end
    return sentences


def place_tokens(tokens: Sequence[str]) -> list[Token]:
    """The places of tokens in the text that has one space between them.

    >>> place_tokens(["I", "saw"])
    [Token(text='I', start=0, end=1, is_clitic=False), Token(text='saw', start=2, end=5, is_clitic=False)]
    """
    return _places(" ".join(tokens), tokens, 0)


def _places(text: str, tokens: Iterable[str], start: int) -> list[Token]:
    """Finds tokens in a text, one after the other, from `start` on."""
    places = []
    for token in tokens:
        start = text.index(token, start)
        places.append(Token(token, start, start + len(token)))
        start += len(token)
    return places


def _treebank_tokens(text: str, start: int, end: int) -> list[Token]:
    stretches = list(STRETCH.finditer(text, start, end))
    tokens = []
    for place, match in enumerate(stretches):
        following = stretches[place + 1][0] if place + 1 < len(stretches) else ""
        first = match.start()
        for length in word_lengths(match[0], following):
            last = first + abs(length)
            tokens.append(Token(text[first:last], first, last, length < 0))
            first = last
    return tokens
