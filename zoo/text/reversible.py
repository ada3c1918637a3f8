"""Splits texts into pieces that can be joined again: what models that write text read and write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zoo.errors import unknown_name
from zoo.text.normalization import DEFAULT, Normalizer
from zoo.text.subwords import SentencePieceModel
from zoo.text.tokenizers import BYTES, REVERSIBLE, make_splitter, require_words
from zoo.text.vocabulary import PAD, UNKNOWN

BEGIN, END = "<s>", "</s>"
SPECIALS = (PAD, UNKNOWN, BEGIN, END)  # their ids are 0, 1, 2, 3
BEGIN_ID, END_ID = 2, 3
# Stands for the white space before a piece, as in sentencepiece.
SPACE = "▁"
# A sentencepiece model spells a character that is not a piece in bytes.
BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def bare(piece: str) -> str:
    """A piece without the mark of the white space before it."""
    return piece.removeprefix(SPACE)


class ReversibleTokenizer:
    """Splits a text into pieces and joins pieces to a text.

    `join(split(text))` is the text with single spaces, without its stop words.

    >>> tokenizer = ReversibleTokenizer("words")
    >>> tokenizer.split("It works, 我来了!")
    ['▁It', '▁works', ',', '▁我', '来', '了', '!']
    >>> tokenizer.join(['▁It', '▁works', ',', '▁我', '来', '了', '!'])
    'It works, 我来了!'

    White space is a mark at the front of the piece behind it, so that Chinese words are joined without spaces and Latin
    words among them with the spaces that they had. The first piece of a text is marked too, as most words are. With
    "jieba" it is not, because most Chinese words have no space before them.

    Args:
        tokenizer: "sentencepiece", "words" (punctuation marks are pieces), "characters", "jieba" (Chinese words),
            "whitespace" (a piece is what stands between white space, without a mark) or "bytes" (of UTF-8).
        sentencepiece_model: the serialized `SentencePieceModel`, for "sentencepiece" and no other tokenizer.
        stop_words: pieces that `split` leaves out, in lower case.
        lowercase: whether texts are split in lower case; `join` does not restore upper case.
        normalization: how texts are normalized before they are split, as for a `Normalizer`.

    Attributes:
        subwords: the `SentencePieceModel`; None with another tokenizer.

    Raises:
        ZooError: the tokenizer is unknown or not reversible, a sentencepiece model is missing or not used, or stop
            words are given with sentencepiece, whose pieces are not words.
    """

    def __init__(
        self,
        tokenizer: str,
        sentencepiece_model: Sequence[str] = (),
        *,
        stop_words: Sequence[str] = (),
        lowercase: bool = False,
        normalization: Sequence[str] = DEFAULT,
    ):
        if tokenizer not in REVERSIBLE:
            raise unknown_name("tokenizer", tokenizer, REVERSIBLE)
        require_words(tokenizer, {"stop words": stop_words})
        self.tokenizer = tokenizer
        self.sentencepiece_model = list(sentencepiece_model)
        self.stop_words = sorted(set(stop_words))
        self.lowercase = lowercase
        self._normalize = Normalizer(normalization)
        self._split = _bytes_of if tokenizer == BYTES else make_splitter(tokenizer, sentencepiece_model)
        self.subwords = self._split if isinstance(self._split, SentencePieceModel) else None
        self._stop_words = frozenset(stop_words)

    def split(self, text: str) -> list[str]:
        """The pieces of a text without its stop words; `SPACE` at the front of a piece marks white space before it."""
        text = self._normalize(text)
        words = (text.lower() if self.lowercase else text).split()
        if self.subwords is not None:
            return self.subwords(" ".join(words))
        pieces = self._marked(words)
        return [piece for piece in pieces if bare(piece).lower() not in self._stop_words]

    def _marked(self, words: Sequence[str]) -> list[str]:
        """The pieces of words between which there is white space."""
        if self.tokenizer == "whitespace":
            return list(words)
        if self.tokenizer == BYTES:
            return self._split(" ".join(words))
        if self.tokenizer == "characters":
            return list(SPACE.join(words))
        pieces = []
        for word in words:
            first, *others = self._split(word)
            pieces.append(SPACE + first)
            pieces.extend(others)
        if self.tokenizer == "jieba" and pieces:
            pieces[0] = bare(pieces[0])
        return pieces

    def join(self, pieces: Iterable[str]) -> str:
        """The text that these pieces spell."""
        if self.tokenizer == "whitespace":
            return " ".join(pieces)
        if self.tokenizer == BYTES:
            return _spell(pieces)
        text = "".join(pieces) if self.subwords is None else _spell(pieces)
        return text.replace(SPACE, " ").strip()


def _bytes_of(text: str) -> list[str]:
    """The bytes of a text in UTF-8; a lone surrogate, which UTF-8 does not have, is a question mark."""
    return [f"<0x{byte:02X}>" for byte in text.encode(errors="replace")]


def _spell(pieces: Iterable[str]) -> str:
    """The text of a sentencepiece model's pieces, some of which are single bytes."""
    spelled = bytearray()
    for piece in pieces:
        byte = BYTE.fullmatch(piece)
        spelled += bytes.fromhex(byte[1]) if byte else piece.encode()
    return spelled.decode("utf-8", errors="replace")
