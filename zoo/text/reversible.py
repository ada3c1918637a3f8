"""Texts to pieces and back: what models that write read and write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zoo.errors import unknown_name
from zoo.text.subwords import SentencePieceModel
from zoo.text.tokenizers import require_pieces, require_words, split_jieba, split_words
from zoo.text.vocabulary import PAD, UNKNOWN

BEGIN, END = "<s>", "</s>"
SPECIALS = (PAD, UNKNOWN, BEGIN, END)  # their ids are 0, 1, 2, 3
SPACE = "\u2581"  # as in sentencepiece: white space before a piece
SPLITTERS = {"words": split_words, "jieba": split_jieba}
TOKENIZERS = ("sentencepiece", "characters", *SPLITTERS)
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def bare(piece: str) -> str:
    """A piece without the mark of white space before it."""
    return piece.removeprefix(SPACE)


class ReversibleTokenizer:
    """Text to pieces and back: `join(split(text))` is the text, its runs of white space folded, without stop words.

    White space is a mark at the front of the word behind it. So Chinese words are joined without spaces, and Latin
    ones among them with the spaces that they had. The first word of a text is marked too, like most others, but not
    by "jieba": in Chinese most words have no mark.

    Args:
        tokenizer: "sentencepiece", "words" (punctuation marks are words), "characters" or "jieba" (Chinese words).
        sentencepiece_model: the serialized `SentencePieceModel`, for "sentencepiece" and no other tokenizer.
        stop_words: pieces that `split` leaves out, in lower case.
        lowercase: whether texts are turned into lower case first; `join` does not turn them back.

    Raises:
        ZooError: the tokenizer is unknown, a sentencepiece model is missing or never used, or stop words are given
            for pieces that are not words.
    """

    def __init__(
        self,
        tokenizer: str,
        sentencepiece_model: Sequence[str] = (),
        *,
        stop_words: Sequence[str] = (),
        lowercase: bool = False,
    ):
        if tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer", tokenizer, TOKENIZERS)
        require_pieces(tokenizer, sentencepiece_model)
        require_words(tokenizer, {"stop words": stop_words})
        self.subwords = SentencePieceModel(sentencepiece_model) if sentencepiece_model else None
        self.tokenizer = tokenizer
        self.sentencepiece_model = list(sentencepiece_model)
        self.lowercase = lowercase
        self.stop_words = sorted(set(stop_words))
        self._left_out = frozenset(stop_words)

    def split(self, text: str) -> list[str]:
        """The pieces of a text but its stop words, white space before a piece marked at its front."""
        parts = (text.lower() if self.lowercase else text).split()
        if self.subwords is not None:
            return self.subwords(" ".join(parts))
        if self.tokenizer == "characters":
            pieces = list(SPACE.join(parts))
        else:
            words = map(SPLITTERS[self.tokenizer], parts)
            pieces = [piece for first, *others in words for piece in (SPACE + first, *others)]
        if self.tokenizer == "jieba" and pieces:
            pieces[0] = bare(pieces[0])
        return [piece for piece in pieces if bare(piece).lower() not in self._left_out]

    def join(self, pieces: Iterable[str]) -> str:
        """The text that these pieces spell."""
        spelled = b"".join(
            bytes.fromhex(piece[3:5]) if self.subwords and BYTE.fullmatch(piece) else piece.encode() for piece in pieces
        )
        return spelled.decode("utf-8", errors="replace").replace(SPACE, " ").strip()
