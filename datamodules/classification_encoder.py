"""Encodes a large corpus of texts with labels into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from datamodules.examples import LabelledText
from datamodules.store import Columns, Store
from zoo.batches.classification import ClassificationDataset, Texts
from zoo.batches.ragged import Integers, Ragged
from zoo.codecs import ClassificationCodec
from zoo.text import Preprocessor, TextCounts


class LabelCount(NamedTuple):
    """The number of texts that have a label, and the line of the first of them."""

    texts: int
    first_line: int


LabelCounts = dict[str, LabelCount]


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


def count_labels(texts: Iterable[LabelledText]) -> LabelCounts:
    """Counts the labels of texts."""
    counts: LabelCounts = {}
    for text in texts:
        for label in text.labels:
            found = counts.get(label, LabelCount(0, text.line))
            counts[label] = found._replace(texts=found.texts + 1)
    return counts


def add_labels(counts: LabelCounts, more: LabelCounts) -> None:
    """Adds the labels of texts that come later."""
    for label, count in more.items():
        found = counts.get(label, LabelCount(0, count.first_line))
        counts[label] = found._replace(texts=found.texts + count.texts)


class ClassificationEncoder:
    """What `StoreBuilder` does with texts and their labels.

    Args:
        read: yields the texts of the split.
        check: refuses labels that the codec of a trained model lacks.
        preprocessor: splits texts.
        codec_of: the codec for the counts of all texts.
        facts_of: what else to keep of the counts.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[LabelledText]],
        check: Callable[[list[LabelledText]], None],
        preprocessor: Preprocessor,
        *,
        codec_of: Callable[[ClassificationCounts], ClassificationCodec],
        facts_of: Callable[[ClassificationCodec, ClassificationCounts], dict[str, object]],
    ):
        self.examples = read
        self._check = check
        self._preprocessor = preprocessor
        self._codec_of = codec_of
        self._facts_of = facts_of

    def prepare(self, examples: list[LabelledText]) -> tuple[list[Any], ClassificationCounts]:
        self._check(examples)
        whole = [self._preprocessor.split(text.text) for text in examples]
        tokens = [self._preprocessor.cut(of_text) for of_text in whole]
        counts = ClassificationCounts(
            Counter(chain.from_iterable(tokens)), count_labels(examples), self._preprocessor.count(whole)
        )
        return [(read, text.labels) for read, text in zip(tokens, examples, strict=True)], counts

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

    def encode(self, prepared: list[Any]) -> Columns:
        data = self._codec.dataset([tokens for tokens, _ in prepared], [labels for _, labels in prepared])
        columns: dict[str, Ragged | Integers] = {"word_ids": data.texts.word_ids, "gold": data.gold}
        if data.texts.vector_ids is not None:
            columns["vector_ids"] = data.texts.vector_ids
        return columns

    def tables(self) -> dict[str, Columns]:
        return {}

    def facts(self) -> dict[str, object]:
        return self._facts


def stored_texts(store: Store) -> ClassificationDataset:
    """The data set of a store."""
    vector_ids = store.ragged("vector_ids") if store.has("vector_ids") else None
    return ClassificationDataset(Texts(store.ragged("word_ids"), vector_ids), store.flat("gold"))
