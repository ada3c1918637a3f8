"""Raw texts to sentences of tokens, each with its place in the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from zoo.text.sentences import split_sentences
from zoo.text.words import word_lengths

STRETCH = re.compile(r"\S+")


class Token(NamedTuple):
    """A token and its place: `document[start:end]` is its text."""

    text: str
    start: int
    end: int
    is_clitic: bool = False
    """Whether it is written together with the word before it, as n't in "don't"."""


def read_document(text: str) -> list[list[Token]]:
    """The sentences of a raw text and their tokens.

    >>> [[token.text for token in sentence] for sentence in read_document("I can't. Why?")]
    [['I', 'ca', "n't", '.'], ['Why', '?']]
    """
    sentences = []
    start = 0
    for sentence in split_sentences(text):
        end = start + len(sentence)
        tokens = _tokens(text, start, end)
        if tokens:
            sentences.append(tokens)
        start = end
    return sentences


def _tokens(text: str, start: int, end: int) -> list[Token]:
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
