"""Texts to the tokens that a classifier reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from zoo.errors import ZooError, unknown_name
from zoo.text.tokenizers import make_splitter, require_words
from zoo.text.vocabulary import UNKNOWN

START, FILLING = "< start >", "< filling >"  # no tokenizer makes a token with a space in it


class TextCounts(NamedTuple):
    """Texts that were read, those without a token, and those longer than what is read of them."""

    texts: int = 0
    empty: int = 0
    truncated: int = 0


class Preprocessor:
    """Texts to the tokens that a classifier reads.

    Args:
        tokenizer: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece".
        pieces: the serialized `SentencePieceModel`, for the last.
        stop_words: tokens to leave out, in lower case.
        known: tells the tokens that are read at all; all are when None.
        max_length: tokens of a text that are read at most.
        truncate: which part of a longer text is read: its "head", its "tail", or "both" ends, half of each.
        start: whether a text begins with a token `START`.
        fill: where tokens `FILLING` make a shorter text `max_length` tokens long: "before" it, "after" it, or
            "nowhere".
        empty: what a text without a token is read as, if nothing fills it up: one "unknown" token, so that there is
            something to be pooled, or "nothing".

    Raises:
        ZooError: an unknown name (the known ones are listed), pieces that are missing or that nothing reads, stop
            words where pieces are not words, or a length below 2.
    """

    def __init__(
        self,
        tokenizer: str = "words",
        *,
        pieces: Sequence[str] = (),
        stop_words: Sequence[str] = (),
        known: Callable[[str], bool] | None = None,
        max_length: int = 400,
        truncate: str = "head",
        start: bool = False,
        fill: str = "nowhere",
        empty: str = "unknown",
    ):
        require_words(tokenizer, {"stop words": stop_words})
        if truncate not in TRUNCATIONS:
            raise unknown_name("truncation", truncate, TRUNCATIONS)
        if fill not in FILLS:
            raise unknown_name("place to fill", fill, FILLS)
        if empty not in EMPTIES:
            raise unknown_name("reading of an empty text", empty, EMPTIES)
        if max_length < 2:
            raise ZooError(f"expected to read at least 2 tokens of a text, got max_length={max_length}")
        self._split = make_splitter(tokenizer, pieces)
        self._known = known
        self.tokenizer, self.pieces = tokenizer, list(pieces)
        self.stop_words = sorted(set(stop_words))
        self._left_out = frozenset(stop_words)
        self.max_length, self.truncate = max_length, truncate
        self.start, self.fill, self.empty = start, fill, empty

    @property
    def skip_unknown(self) -> bool:
        """Whether some tokens are not read because they are not known."""
        return self._known is not None

    def split(self, text: str) -> list[str]:
        """All tokens of a text but those that are left out; none for an empty one."""
        tokens = self._split(text)
        if self._left_out:
            tokens = [token for token in tokens if token.lower() not in self._left_out]
        return tokens if self._known is None else list(filter(self._known, tokens))

    def cut(self, tokens: list[str]) -> list[str]:
        """Those that are read: `max_length` at most."""
        if self.start:
            tokens = [START, *tokens]
        missing = self.max_length - len(tokens)
        if missing < 0:
            head, tail = TRUNCATIONS[self.truncate](self.max_length)
            return tokens[:head] + tokens[len(tokens) - tail :]
        before, after = FILLS[self.fill](missing)
        if before or after:
            tokens = [FILLING] * before + tokens + [FILLING] * after
        return tokens or list(EMPTIES[self.empty])

    def __call__(self, text: str) -> list[str]:
        """The tokens that are read of a text."""
        return self.cut(self.split(text))

    def count(self, texts: Iterable[Sequence[str]]) -> TextCounts:
        """Of texts as `split` makes them."""
        lengths = [len(tokens) for tokens in texts]
        too_long = [length for length in lengths if self.start + length > self.max_length]
        return TextCounts(texts=len(lengths), empty=lengths.count(0), truncated=len(too_long))


# How many tokens of a text too long are kept at its beginning and at its end.
TRUNCATIONS: dict[str, Callable[[int], tuple[int, int]]] = {
    "head": lambda length: (length, 0),
    "tail": lambda length: (0, length),
    "both": lambda length: (length - length // 2, length // 2),
}
# How many tokens are put before and after a text that lacks so many.
FILLS: dict[str, Callable[[int], tuple[int, int]]] = {
    "nowhere": lambda missing: (0, 0),
    "before": lambda missing: (missing, 0),
    "after": lambda missing: (0, missing),
}
# What a text without a token is read as.
EMPTIES: dict[str, tuple[str, ...]] = {"unknown": (UNKNOWN,), "nothing": ()}
