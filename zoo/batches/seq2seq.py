"""From pairs of texts to padded tensors: what a sequence-to-sequence batch is.

Shapes: B pairs, S source positions, T target positions (the end included).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from zoo.batches.batching import check_vector_words, vector_rows
from zoo.errors import ZooError, unknown_name
from zoo.text import PAD, UNKNOWN, SentencePieces, Vocabulary, require_pieces, require_words, split_jieba, split_words

BEGIN, END = "<s>", "</s>"
SPECIALS = (PAD, UNKNOWN, BEGIN, END)  # their ids are 0, 1, 2, 3
SPACE = "\u2581"  # as in sentencepiece: white space before a piece
SPLITTERS = {"words": split_words, "jieba": split_jieba}
TOKENIZERS = ("sentencepiece", "characters", *SPLITTERS)
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def bare(piece: str) -> str:
    """A piece without the mark of white space before it."""
    return piece.removeprefix(SPACE)


class TextCoder:
    """Text to pieces and back: `join(split(text))` is the text, its runs of white space folded, without stop words.

    White space is a mark at the front of the word behind it. So Chinese words are joined without spaces, and Latin
    ones among them with the spaces that they had. The first word of a text is marked too, like most others, but not
    by "jieba": in Chinese most words have no mark.

    Args:
        tokenizer: "sentencepiece", "words" (punctuation marks are words), "characters" or "jieba" (Chinese words).
        pieces: the state of `SentencePieces`, for the first.
        stop_words: pieces that `split` leaves out, in lower case.
        lowercase: whether texts are turned into lower case first; `join` does not turn them back.

    Raises:
        ZooError: an unknown tokenizer, pieces that are missing or that nothing reads, or stop words where pieces are
            not words.
    """

    def __init__(
        self, tokenizer: str, pieces: Sequence[str] = (), *, stop_words: Sequence[str] = (), lowercase: bool = False
    ):
        if tokenizer not in TOKENIZERS:
            raise unknown_name("tokenizer", tokenizer, TOKENIZERS)
        require_pieces(tokenizer, pieces)
        require_words(tokenizer, {"stop words": stop_words})
        self.subwords = SentencePieces(pieces) if pieces else None
        self.tokenizer, self.pieces, self.lowercase = tokenizer, list(pieces), lowercase
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


class Pair(NamedTuple):
    """A text and what should become of it."""

    source: str
    target: str


class EncodedSource(NamedTuple):
    """A source of S pieces."""

    ids: Tensor  # (S,) in the source vocabulary
    vectors: Tensor  # (S,) rows in the table of imported vectors
    copies: Tensor  # (S,) ids in the extended target vocabulary
    unknown: list[str]  # the pieces that this has more than the vocabulary


class Seq2SeqBatch(NamedTuple):
    """Right-padded pairs. Ids behind the target vocabulary, in `copies` and `target`, are a row's `unknown` pieces."""

    source: Tensor  # (B, S) ids in the source vocabulary
    source_lengths: Tensor  # (B,)
    vectors: Tensor  # (B, S) rows of the same pieces in the table of imported vectors
    copies: Tensor  # (B, S) the same pieces in the extended target vocabulary
    unknown: list[list[str]]  # for each row the pieces that its copies have and the vocabulary has not
    target: Tensor | None = None  # (B, T), the end last
    lengths: Tensor | None = None  # (B,) of the targets
    rows: Tensor | None = None  # (B,) where in their split the pairs are
    pairs: list[Pair] | None = None

    @property
    def extra(self) -> int:
        """Ids that the extended vocabulary has more than the vocabulary."""
        return max(len(pieces) for pieces in self.unknown)


class PairIndexer:
    """Texts to ids and back, by one rule for training and prediction.

    Args:
        source: splits sources.
        target: splits and joins targets.
        source_vocabulary: of the training split, `SPECIALS` first.
        target_vocabulary: likewise; the same object where both are one.
        vectors: the words that imported vectors of sources exist for; empty without them.
        max_source: pieces of a source that are read; what follows is not.
        max_target: pieces of a target, its end not counted.
    """

    def __init__(
        self,
        source: TextCoder,
        target: TextCoder,
        source_vocabulary: Vocabulary,
        target_vocabulary: Vocabulary,
        *,
        vectors: Vocabulary,
        max_source: int,
        max_target: int,
    ):
        for vocabulary in (source_vocabulary, target_vocabulary):
            if tuple(vocabulary[:4]) != SPECIALS:
                raise ZooError(f"a vocabulary begins with {', '.join(SPECIALS)}, got {', '.join(vocabulary[:4])}")
        if min(max_source, max_target) < 1:
            raise ZooError(f"max_source and max_target must be at least 1, got {max_source} and {max_target}")
        require_words(source.tokenizer, {"imported vectors": vectors})
        check_vector_words(vectors)
        self.source, self.target, self.vectors = source, target, vectors
        self.source_vocabulary, self.target_vocabulary = source_vocabulary, target_vocabulary
        self.max_source, self.max_target = max_source, max_target

    def encode_source(self, pieces: Sequence[str]) -> EncodedSource:
        """The ids of what is read; a source without a piece is an unknown one, and nothing that could be copied."""
        unknown: dict[str, int] = {}
        copies = self._extended(pieces, unknown, grow=True) or [SPECIALS.index(PAD)]
        pieces = pieces or [UNKNOWN]
        words = [bare(piece) for piece in pieces]
        vectors = vector_rows(self.vectors, words, [word.lower() for word in words])
        return EncodedSource(
            torch.tensor(self.source_vocabulary.ids(pieces)), vectors, torch.tensor(copies), list(unknown)
        )

    def encode_target(self, pieces: Sequence[str], unknown: Sequence[str]) -> Tensor:
        """Ids in the extended vocabulary of a source that has these `unknown` pieces, then the end: `(T,)`."""
        places = {piece: i for i, piece in enumerate(unknown)}
        return torch.tensor([*self._extended(pieces, places, grow=False), SPECIALS.index(END)])

    def decode(self, ids: Iterable[int], unknown: Sequence[str]) -> str:
        """The text of ids in the extended vocabulary."""
        known = self.target_vocabulary
        return self.target.join(known[i] if i < len(known) else unknown[i - len(known)] for i in ids)

    def _extended(self, pieces: Sequence[str], unknown: dict[str, int], grow: bool) -> list[int]:
        known = self.target_vocabulary
        ids = []
        for piece in pieces:
            place = known.get(piece, -1)
            if place < len(SPECIALS):  # not there, or a text that looks like a special entry
                if grow:
                    unknown.setdefault(piece, len(unknown))
                place = len(known) + unknown[piece] if piece in unknown else SPECIALS.index(UNKNOWN)
            ids.append(place)
        return ids


class EncodedPairs:
    """Pairs as tensors; `batch(rows)` is a few indexing operations.

    Args:
        sources: texts to read, none empty.
        indexer: makes their ids.
        targets: what should become of them, or None where that is to be predicted.

    Attributes:
        lengths: of each pair, its source's and its target's; of the source alone where there are no targets.
        cut: how many sources, and how many targets, were longer than the indexer's maximum.
        empty: how many sources had nothing but stop words.
    """

    def __init__(self, sources: Sequence[str], indexer: PairIndexer, targets: Sequence[str] | None = None):
        self.indexer = indexer
        split = [indexer.source.split(text) for text in sources]
        self._sources = [indexer.encode_source(pieces[: indexer.max_source]) for pieces in split]
        self.lengths: list[tuple[int, ...]] = [(len(source.ids),) for source in self._sources]
        self.empty = sum(not pieces for pieces in split)
        self.cut = [sum(len(pieces) > indexer.max_source for pieces in split)]
        self._pairs = self._targets = None
        if targets is not None:
            split = [indexer.target.split(text) for text in targets]
            self._pairs = [Pair(*texts) for texts in zip(sources, targets, strict=True)]
            self._targets = [
                indexer.encode_target(pieces[: indexer.max_target], source.unknown)
                for pieces, source in zip(split, self._sources, strict=True)
            ]
            self.lengths = [(n, len(ids)) for (n,), ids in zip(self.lengths, self._targets, strict=True)]
            self.cut.append(sum(len(pieces) > indexer.max_target for pieces in split))

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Seq2SeqBatch:
        """The pairs at `rows`, in that order, padded to the longest of them."""
        source, vectors, copies, unknown = zip(*(self._sources[row] for row in rows), strict=True)
        batch = Seq2SeqBatch(
            source=pad_sequence(source, batch_first=True),
            source_lengths=torch.tensor([len(ids) for ids in source]),
            vectors=pad_sequence(vectors, batch_first=True),
            copies=pad_sequence(copies, batch_first=True),
            unknown=list(unknown),
        )
        if self._targets is None:
            return batch
        target = [self._targets[row] for row in rows]
        return batch._replace(
            target=pad_sequence(target, batch_first=True),
            lengths=torch.tensor([len(ids) for ids in target]),
            rows=torch.tensor(rows),
            pairs=[self._pairs[row] for row in rows],
        )
