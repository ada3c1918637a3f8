"""The codec of text classification: texts to ids, and probabilities to labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zoo.batches.classification import ClassificationDataset
from zoo.batches.indexers import WordIndexer
from zoo.codecs.base import Codec, sorted_tuple
from zoo.errors import ZooError, unknown_name
from zoo.text import Inventory, Preprocessor, Vocabulary, require_words


@dataclass(frozen=True)
class ClassificationCodec(Codec):
    """How texts become ids, and which labels there are.

    >>> codec = ClassificationCodec(["<pad>", "<unk>", "good"], ["bad", "good"], max_length=3)
    >>> codec.preprocessor("Good, but long.")
    ['Good', ',', 'but']

    Raises:
        ZooError: fewer than two labels to choose from; an unknown tokenizer, truncation or positive label (the known
            ones are listed); a vocabulary that does not begin with `<pad>` and `<unk>`; stop words or imported vectors
            with sentencepiece, whose tokens are not words.
    """

    vocabulary: Vocabulary
    """The tokens that are known, `<pad>` and `<unk>` first."""
    labels: Inventory
    """The K labels; the id of a label is its position."""
    multi_label: bool = False
    """Whether a text may have several labels, or none."""
    positive: str | None = None
    """Of two labels the one that F1 and ranking are about: by default the second. Without two labels there is none."""
    tokenizer: str = "words"
    """How a text is split: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece"."""
    sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model, for that tokenizer."""
    stop_words: tuple[str, ...] = ()
    """Tokens that are left out, in lower case."""
    lowercase: bool = True
    """Whether tokens are looked up in lower case."""
    max_length: int = 400
    """Tokens of a text that are read at most."""
    truncate: str = "head"
    """Which part of a longer text is read: its "head", its "tail", or "both" ends."""
    skip_unknown: bool = False
    """Whether tokens that the vocabulary lacks are left out. This and the three below are for imported Keras models."""
    start: bool = False
    """Whether a text begins with the token `zoo.text.START`."""
    fill: str = "nowhere"
    """Where tokens `zoo.text.FILLING` make a shorter text `max_length` tokens long: "before" it, "after" it, or
    "nowhere". The model reads them as any other token."""
    empty: str = "unknown"
    """What a text without a token is read as: one "unknown" token, or "nothing"."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "vocabulary", "vector_words")
        self._convert(Inventory, "labels")
        self._convert(tuple, "sentencepiece_model")
        self._convert(sorted_tuple, "stop_words")
        if len(self.labels) < 2 and not self.multi_label:
            raise ZooError(f"expected at least two labels to choose from, got {', '.join(self.labels) or 'none'}")
        if self.positive is not None and (not self.binary or self.positive not in self.labels):
            known = list(self.labels) if self.binary else ["none, as there are not two labels to choose from"]
            raise unknown_name("positive label", self.positive, known)
        if self.binary and self.positive is None:
            object.__setattr__(self, "positive", self.labels[1])
        require_words(self.tokenizer, {"imported vectors": self.vector_words})
        # Both check the fields that they read.
        self.indexer  # noqa: B018
        self.preprocessor  # noqa: B018

    @property
    def binary(self) -> bool:
        """Whether each text has one of two labels."""
        return len(self.labels) == 2 and not self.multi_label

    @cached_property
    def indexer(self) -> WordIndexer:
        """Makes the ids of tokens."""
        return WordIndexer(self.vocabulary, self.vector_words, lowercase=self.lowercase)

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """Makes the tokens that are read of a text."""
        return Preprocessor(
            self.tokenizer,
            sentencepiece_model=self.sentencepiece_model,
            stop_words=self.stop_words,
            is_known=self.indexer.knows if self.skip_unknown else None,
            max_length=self.max_length,
            truncate=self.truncate,
            start=self.start,
            fill=self.fill,
            empty=self.empty,
        )

    def gold(self, labels: Sequence[Sequence[str]]) -> Tensor:
        """The labels of N texts -> their ids `(N,)`; with several labels a text `(N, K)`, 1 for those it has.

        Raises:
            KeyError: a label that training never had.
        """
        ids = [self.labels.ids(names) for names in labels]
        if not self.multi_label:
            return torch.tensor([label for (label,) in ids])
        return torch.tensor([[float(label in present) for label in range(len(self.labels))] for present in ids])

    def dataset(self, tokens: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> ClassificationDataset:
        """Texts, as the preprocessor has made tokens of them, and their labels, as tensors."""
        return ClassificationDataset(tokens, self.indexer, self.gold(labels))
