"""What may be given to `predict` and its kin: one rule for all models, one place for what to type instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from zoo.errors import ZooError, cut


def check_text(text: Any, name: str = "text") -> str:
    """`text` itself.

    Raises:
        ZooError: it is not a string.
    """
    if not isinstance(text, str):
        raise ZooError(f"expected one {name} as a string, got {_shown(text)}")
    return text


def check_texts(texts: Any) -> list[str]:
    """A list of these texts.

    Raises:
        ZooError: one string instead of several in a list, something that has no order, or what is no text.
    """
    listed = _listed(texts, "texts")
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise ZooError(f"expected texts, each one string, got {_shown(text)} at place {place}")
    return listed


def check_sentences(sentences: Any) -> list[str | list[str]]:
    """A list of sentences: those that are strings as they are, others as lists of their tokens.

    Raises:
        ZooError: one string instead of several in a list, something that has no order, or what is no sentence and no
            token.
    """
    return [
        sentence if isinstance(sentence, str) else _tokens(sentence, place)
        for place, sentence in enumerate(_listed(sentences, "sentences"))
    ]


def _listed(given: Any, what: str) -> list:
    if isinstance(given, str):
        raise ZooError(f"expected a list of {what}, got one string, {_shown(given)}: put it into a list, [text]")
    if not _is_list(given):
        raise ZooError(f"expected a list of {what}, got {_shown(given)}")
    return list(given)


def _tokens(sentence: Any, place: int) -> list[str]:
    if not _is_list(sentence):
        raise ZooError(f"expected a sentence, a string or a list of tokens, got {_shown(sentence)} at place {place}")
    tokens = list(sentence)
    for position, token in enumerate(tokens):
        where = f"as token {position} of the sentence at place {place}"
        if not isinstance(token, str):
            raise ZooError(f"expected tokens, each one string, got {_shown(token)} {where}")
        if not token:
            raise ZooError(f"got an empty string {where}: leave it out, or put another in its place")
    return tokens


def _is_list(given: Any) -> bool:
    """Whether it has an order and one dimension: a table would give the names of its columns."""
    unordered = isinstance(given, str | bytes | bytearray | memoryview | Mapping | Set)
    return isinstance(given, Iterable) and not unordered and getattr(given, "ndim", 1) == 1


def _shown(given: Any) -> str:
    return f"{cut(' '.join(repr(given).split()))} ({type(given).__name__})"
