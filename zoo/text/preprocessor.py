"""Turns texts into the tokens that a classifier reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from zoo.errors import ZooError, unknown_name
from zoo.text.normalization import DEFAULT, Normalizer
from zoo.text.reversible import END, ReversibleTokenizer
from zoo.text.tokenizers import Splitter, make_splitter, require_words
from zoo.text.vocabulary import UNKNOWN

# Tokens that no text contains, because no tokenizer makes a token with a space in it.
START, FILLING = "< start >", "< filling >"


class TextCounts(NamedTuple):
    """The numbers of all texts, of texts without tokens, and of truncated texts."""

    texts: int = 0
    empty: int = 0
    truncated: int = 0


class Preprocessor:
    """Turns texts into the tokens that a classifier reads.

    >>> read = Preprocessor("words", stop_words=["a"], max_length=3)
    >>> read("A good, but long film.")
    ['good', ',', 'but']

    Args:
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece".
        sentencepiece_model: the serialized model, if that is the tokenizer.
        stop_words: tokens to leave out, in lower case.
        is_known: whether a token is read; None reads all tokens.
        max_length: the largest number of tokens of a text that are read.
        truncate: the part of a longer text that is read: its "head", its "tail", or "both" ends, half of each.
        start: whether the token `START` is put before each text.
        fill: where a shorter text is filled up to `max_length` tokens with `FILLING`: "before" it, "after" it, or
            "nowhere".
        empty: how a text without tokens is read if it is not filled up: as one "unknown" token or as "nothing".
        as_language_model: whether a text is read as a `LanguageModel` reads it: after the end of a text, in pieces of a
            `ReversibleTokenizer`.
        lowercase: whether it is then split in lower case. Otherwise, tokens keep their case.
        normalization: how a text is normalized before it is split, as for a `Normalizer`.

    Raises:
        ZooError: an unknown name (the known ones are listed), a sentencepiece model that is missing or that the
            tokenizer does not use, stop words with sentencepiece or `as_language_model`, or a max_length below 2.
    """

    def __init__(
        self,
        tokenizer: str = "words",
        *,
        sentencepiece_model: Sequence[str] = (),
        stop_words: Sequence[str] = (),
        is_known: Callable[[str], bool] | None = None,
        max_length: int = 400,
        truncate: str = "head",
        start: bool = False,
        fill: str = "nowhere",
        empty: str = "unknown",
        as_language_model: bool = False,
        lowercase: bool = False,
        normalization: Sequence[str] = DEFAULT,
    ):
        require_words(tokenizer, {"stop words": stop_words})
        if truncate not in TRUNCATIONS:
            raise unknown_name("truncation", truncate, TRUNCATIONS)
        if fill not in FILLS:
            raise unknown_name("place to fill", fill, FILLS)
        if empty not in EMPTIES:
            raise unknown_name("reading of an empty text", empty, EMPTIES)
        if as_language_model and stop_words:
            raise ZooError("a language model reads all words of a text: leave the stop words out")
        if max_length < 2:
            raise ZooError(f"expected to read at least 2 tokens of a text, got max_length={max_length}")
        self._normalize = Normalizer(normalization)
        self._split: Splitter
        if as_language_model:
            reversible = ReversibleTokenizer(tokenizer, sentencepiece_model, lowercase=lowercase, normalization=())
            self._split = reversible.split
        else:
            self._split = make_splitter(tokenizer, sentencepiece_model)
        self._stop_words = frozenset(stop_words)
        self._is_known = is_known
        self._max_length = max_length
        self._kept = TRUNCATIONS[truncate](max_length)
        self._beginning = [END] if as_language_model else [START] if start else []
        # The name and not the function: a model that is pickled takes this object with it.
        self._fill = fill
        self._instead_of_nothing = EMPTIES[empty]

    def split(self, text: str) -> list[str]:
        """All tokens of a text but those that are left out."""
        tokens = self._split(self._normalize(text))
        if self._stop_words:
            tokens = [token for token in tokens if token.lower() not in self._stop_words]
        if self._is_known is not None:
            tokens = [token for token in tokens if self._is_known(token)]
        return tokens

    def cut(self, tokens: list[str]) -> list[str]:
        """The tokens that are read, at most `max_length`, from the result of `split`."""
        tokens = self._beginning + tokens
        missing = self._max_length - len(tokens)
        if missing < 0:
            head, tail = self._kept
            return tokens[:head] + tokens[len(tokens) - tail :]
        before, after = FILLS[self._fill](missing)
        tokens = [FILLING] * before + tokens + [FILLING] * after
        return tokens or list(self._instead_of_nothing)

    def __call__(self, text: str) -> list[str]:
        """The tokens that are read of a text."""
        return self.cut(self.split(text))

    def count(self, texts: Iterable[Sequence[str]]) -> TextCounts:
        """Counts texts, given as results of `split`."""
        lengths = [len(tokens) for tokens in texts]
        longest = self._max_length - len(self._beginning)
        truncated = sum(length > longest for length in lengths)
        return TextCounts(texts=len(lengths), empty=lengths.count(0), truncated=truncated)


# The numbers of tokens that are kept at the beginning and at the end of a longer text, by `max_length`.
TRUNCATIONS: dict[str, Callable[[int], tuple[int, int]]] = {
    "head": lambda length: (length, 0),
    "tail": lambda length: (0, length),
    "both": lambda length: (length - length // 2, length // 2),
}
# The numbers of tokens that are filled in before and after a shorter text, by the number of missing tokens.
FILLS: dict[str, Callable[[int], tuple[int, int]]] = {
    "nowhere": lambda missing: (0, 0),
    "before": lambda missing: (missing, 0),
    "after": lambda missing: (0, missing),
}
# The tokens that are read in place of an empty text.
EMPTIES: dict[str, tuple[str, ...]] = {"unknown": (UNKNOWN,), "nothing": ()}
