"""Checks of the inputs of `predict` and similar methods, the same for all models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from zoo.errors import ZooError, cut


def check_text(text: Any, name: str = "text") -> str:
    """Returns `text`.

    Raises:
        ZooError: `text` is not a string.
    """
    if not isinstance(text, str):
        raise ZooError(f"expected one {name} as a string, got {_shown(text)}")
    return text


def check_texts(texts: Any) -> list[str]:
    """Returns the texts as a list.

    Raises:
        ZooError: `texts` is one string, has no order, or contains an item that is not a string.
    """
    listed = _listed(texts, "texts")
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise ZooError(f"expected strings as texts, got {_shown(text)} at place {place}")
    return listed


def check_sentences(sentences: Any) -> list[str | list[str]]:
    """Returns the sentences as a list: strings as they are, other sentences as lists of their tokens.

    Raises:
        ZooError: `sentences` is one string or has no order, an item is not a sentence, or a token is empty or not a
            string.
    """
    return [
        sentence if isinstance(sentence, str) else _tokens(sentence, place)
        for place, sentence in enumerate(_listed(sentences, "sentences"))
    ]


def _listed(given: Any, what: str) -> list[Any]:
    if isinstance(given, str):
        raise ZooError(f"expected a list of {what}, got one string, {_shown(given)}: put it into a list, [text]")
    if not _is_list(given):
        raise ZooError(f"expected a list of {what}, got {_shown(given)}")
    return list(given)


def _tokens(sentence: Any, place: int) -> list[str]:
    if not _is_list(sentence):
        raise ZooError(f"expected a sentence as a string or a list of tokens, got {_shown(sentence)} at place {place}")
    tokens = list(sentence)
    for position, token in enumerate(tokens):
        where = f"as token {position} of the sentence at place {place}"
        if not isinstance(token, str):
            raise ZooError(f"expected strings as tokens, got {_shown(token)} {where}")
        if not token:
            raise ZooError(f"got an empty string {where}: leave it out, or give another token")
    return tokens


def _is_list(given: Any) -> bool:
    """Whether `given` has an order and one dimension. A table has two, and iterates over its column names."""
    unordered = isinstance(given, str | bytes | bytearray | memoryview | Mapping | Set)
    return isinstance(given, Iterable) and not unordered and getattr(given, "ndim", 1) == 1


def _shown(given: Any) -> str:
    return f"{cut(' '.join(repr(given).split()))} ({type(given).__name__})"
