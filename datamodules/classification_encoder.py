"""Encodes a large corpus of texts with labels into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from datamodules.arrow_files import Columns
from datamodules.encoding import Packed, counter, numbered, packed, unpacked
from datamodules.examples import LabelledText
from datamodules.labels import LabelCounts, add_labels, count_labels
from datamodules.readers.file_parts import Parted
from datamodules.store import Store
from zoo.batches.classification import ClassificationDataset, Texts
from zoo.batches.ragged import Integers, Ragged, offsets_of
from zoo.codecs import ClassificationCodec
from zoo.text import Preprocessor, TextCounts


@dataclass
class ClassificationCounts:
    """What a split consists of: how often each token is read, its labels, and its texts."""

    tokens: Counter[str] = field(default_factory=Counter)
    labels: LabelCounts = field(default_factory=dict)
    texts: TextCounts = field(default_factory=TextCounts)

    def add(self, more: ClassificationCounts) -> None:
        """Adds the counts of texts that come later."""
        self.tokens.update(more.tokens)
        add_labels(self.labels, more.labels)
        self.texts = TextCounts(*map(sum, zip(self.texts, more.texts, strict=True)))


# The distinct tokens of a part, the position of each token among them, the lengths of texts, and their labels.
_Prepared = tuple[list[str], Packed, Packed, list[tuple[str, ...]]]


class ClassificationEncoder:
    """What `StoreBuilder` does with texts and their labels.

    Args:
        source: the texts of the split.
        check: refuses labels that the codec of a trained model lacks.
        preprocessor: splits texts.
        codec_of: the codec for the counts of all texts.
        facts_of: what else to keep of the counts.
    """

    def __init__(
        self,
        source: Parted[LabelledText],
        check: Callable[[list[LabelledText]], None],
        preprocessor: Preprocessor,
        *,
        codec_of: Callable[[ClassificationCounts], ClassificationCodec],
        facts_of: Callable[[ClassificationCodec, ClassificationCounts], dict[str, object]],
    ):
        self.source = source
        self._check = check
        self._preprocessor = preprocessor
        self._codec_of = codec_of
        self._facts_of = facts_of

    def prepare(self, examples: list[LabelledText]) -> tuple[_Prepared, ClassificationCounts]:
        self._check(examples)
        whole = [self._preprocessor.split(text.text) for text in examples]
        texts = [self._preprocessor.cut(of_text) for of_text in whole]
        tokens, token_ids = numbered(chain.from_iterable(texts))
        lengths = np.array(list(map(len, texts)), dtype=np.int64)
        counts = ClassificationCounts(
            counter(tokens, token_ids), count_labels(examples), self._preprocessor.count(whole)
        )
        return (tokens, packed(token_ids), packed(lengths), [text.labels for text in examples]), counts

    def merge(self, counts: ClassificationCounts, more: ClassificationCounts) -> None:
        counts.add(more)

    def fit(self, counts: ClassificationCounts) -> None:
        self._codec = self._codec_of(counts)
        self._facts = {
            "codec": self._codec.state,
            "labels": counts.labels,
            "texts": counts.texts,
            **self._facts_of(self._codec, counts),
        }

    def encode(self, prepared: _Prepared) -> Columns:
        tokens, token_ids, lengths, labels = prepared
        ids = unpacked(token_ids)
        offsets = offsets_of(unpacked(lengths))
        distinct = Texts.of([tokens], self._codec.indexer)
        columns: dict[str, Ragged | Integers] = {
            "word_ids": Ragged(distinct.word_ids.values[ids], offsets),
            "gold": self._codec.gold(labels).numpy().astype(np.int32),
        }
        if distinct.vector_ids is not None:
            columns["vector_ids"] = Ragged(distinct.vector_ids.values[ids], offsets)
        return columns

    def tables(self) -> dict[str, Columns]:
        return {}

    def facts(self) -> dict[str, object]:
        return self._facts


def stored_texts(store: Store) -> ClassificationDataset:
    """The data set of a store."""
    vector_ids = store.ragged("vector_ids") if store.has("vector_ids") else None
    return ClassificationDataset(Texts(store.ragged("word_ids"), vector_ids), store.flat("gold"))
