"""The codec of text classification: it turns texts into ids, and lists the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from zoo.batches.classification import ClassificationDataset, Texts
from zoo.batches.indexers import WordIndexer
from zoo.codecs.base import Codec, sorted_tuple
from zoo.codecs.language_modeling import LanguageModelingCodec
from zoo.errors import ZooError, unknown_name
from zoo.text import Inventory, Preprocessor, Vocabulary, require_words

# If a text may have several labels, it has those with at least this probability.
THRESHOLD = 0.5


@dataclass(frozen=True)
class ClassificationCodec(Codec):
    """Turns texts into ids, and lists the labels.

    >>> codec = ClassificationCodec(["<pad>", "<unk>", "good"], ["bad", "good"], max_length=3)
    >>> codec.preprocessor("Good, but long.")
    ['Good', ',', 'but']

    Raises:
        ZooError: there are fewer than two labels to choose from; a tokenizer, truncation or positive label is unknown
            (the known ones are listed); a vocabulary does not begin with `<pad>` and `<unk>`; there are stop words or
            imported vectors with sentencepiece, whose tokens are not words.
    """

    ANSWERS: ClassVar[frozenset[str]] = frozenset({"labels", "multi_label", "positive"})

    vocabulary: Vocabulary
    """The known tokens, after `<pad>` and `<unk>`."""
    labels: Inventory
    """The K labels; the id of a label is its position."""
    multi_label: bool = False
    """Whether a text may have several labels or none."""
    positive: str | None = None
    """The label of two that F1 and the ranking scores are about, by default the second. None for other numbers of
    labels."""
    tokenizer: str = "words"
    """How a text is split: "words", "whitespace", "characters", "keras", "jieba" or "sentencepiece"."""
    sentencepiece_model: tuple[str, ...] = ()
    """The serialized sentencepiece model, if that is the tokenizer."""
    stop_words: tuple[str, ...] = ()
    """Tokens to leave out, in lower case."""
    lowercase: bool = True
    """Whether tokens are looked up in lower case."""
    max_length: int = 400
    """The largest number of tokens of a text that are read."""
    truncate: str = "head"
    """The part of a longer text that is read: its "head", its "tail", or "both" ends."""
    skip_unknown: bool = False
    """Whether tokens that are not in the vocabulary are left out. This field and the three below it exist for imported
    Keras models."""
    start: bool = False
    """Whether the token `zoo.text.START` is put before each text."""
    fill: str = "nowhere"
    """Where a shorter text is filled up to `max_length` tokens with `zoo.text.FILLING`: "before" it, "after" it, or
    "nowhere". The model reads these tokens like all others."""
    empty: str = "unknown"
    """How a text without tokens is read: as one "unknown" token or as "nothing"."""
    as_language_model: bool = False
    """Whether a text is read as by a `LanguageModel`: after the end of a text, in pieces that mark white space."""

    def __post_init__(self) -> None:
        self._convert(Vocabulary, "vocabulary", "vector_words")
        self._convert(Inventory, "labels")
        self._convert(tuple, "sentencepiece_model", "normalization")
        self._convert(sorted_tuple, "stop_words")
        if len(self.labels) < 2 and not self.multi_label:
            raise ZooError(f"expected at least two labels to choose from, got {', '.join(self.labels) or 'none'}")
        if self.positive is not None and (not self.binary or self.positive not in self.labels):
            known = list(self.labels) if self.binary else ["none, as there are not two labels to choose from"]
            raise unknown_name("positive label", self.positive, known)
        if self.binary and self.positive is None:
            object.__setattr__(self, "positive", self.labels[1])
        require_words(self.tokenizer, {"imported vectors": self.vector_words})
        # Both constructors check the fields that they read.
        self.indexer  # noqa: B018
        self.preprocessor  # noqa: B018

    def with_labels(self, labels: Sequence[str]) -> Self:
        """This codec with other labels. The positive one stays if it is one of two again."""
        inventory = Inventory(labels)
        keeps_positive = len(inventory) == 2 and self.positive in inventory
        return replace(self, labels=inventory, positive=self.positive if keeps_positive else None)

    def based_on(self, codec: LanguageModelingCodec) -> Self:
        """See `Codec.based_on`."""
        return replace(self, vocabulary=codec.vocabulary.extended(self.vocabulary))

    @property
    def binary(self) -> bool:
        """Whether each text has one of two labels."""
        return len(self.labels) == 2 and not self.multi_label

    @cached_property
    def indexer(self) -> WordIndexer:
        """Turns tokens into ids."""
        # A language model has pieces such as <0xC3>, which are no words in upper case.
        lowercase = self.lowercase and not self.as_language_model
        return WordIndexer(self.vocabulary, self.vector_words, lowercase=lowercase)

    @cached_property
    def preprocessor(self) -> Preprocessor:
        """Turns a text into the tokens that are read."""
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
            as_language_model=self.as_language_model,
            lowercase=self.lowercase,
            normalization=self.normalization,
        )

    def gold(self, labels: Sequence[Sequence[str]]) -> Tensor:
        """The gold labels of N texts: ids `(N,)`, or if a text may have several labels `(N, K)`, 1 for each it has.

        Raises:
            KeyError: a label is not one of this codec's.
        """
        ids = [self.labels.ids(names) for names in labels]
        if not self.multi_label:
            return torch.tensor([label for (label,) in ids])
        return torch.tensor([[float(label in present) for label in range(len(self.labels))] for present in ids])

    def answer(self, probabilities: Sequence[float]) -> dict[str, Any]:
        """The answer to a text: its "label" ("labels" if it may have several), and the "probabilities" of all labels.

        Args:
            probabilities: of all labels, in the order of their ids.
        """
        named = dict(zip(self.labels, probabilities, strict=True))
        if self.multi_label:
            present = [label for label, probability in named.items() if probability >= THRESHOLD]
            return {"labels": present, "probabilities": named}
        return {"label": max(named, key=named.__getitem__), "probabilities": named}

    def dataset(self, tokens: Sequence[Sequence[str]], labels: Sequence[Sequence[str]]) -> ClassificationDataset:
        """The dataset of texts, given as the tokens that `preprocessor` returns, and of their labels."""
        gold = self.gold(labels).numpy()
        # Label ids, or 0 and 1.
        return ClassificationDataset(Texts.of(tokens, self.indexer), gold.astype(np.int32))
