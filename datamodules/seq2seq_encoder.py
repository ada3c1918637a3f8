"""Encodes a large corpus of pairs into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import overload

from datamodules.arrow_files import Columns
from datamodules.readers.file_parts import Parted
from datamodules.store import Store
from zoo.batches.ragged import Integers, Ragged, StringLists
from zoo.batches.seq2seq import Pair, Seq2SeqDataset, Sources
from zoo.codecs import Seq2SeqCodec
from zoo.text import split_sentences
from zoo.text.reversible import ReversibleTokenizer


@dataclass
class Seq2SeqCounts:
    """How often each piece occurs on each side, and how many pairs there are, of which some need a word."""

    sources: Counter[str] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)
    pairs: int = 0
    several: int = 0
    """Sources of several sentences."""
    cut_sources: int = 0
    """Sources that are longer than `max_source`."""
    cut_targets: int = 0
    """Targets that are longer than `max_target`."""
    empty: int = 0
    """Sources that consist of stop words only."""

    def add(self, more: Seq2SeqCounts) -> None:
        """Adds the counts of other pairs."""
        self.sources.update(more.sources)
        self.targets.update(more.targets)
        self.pairs += more.pairs
        self.several += more.several
        self.cut_sources += more.cut_sources
        self.cut_targets += more.cut_targets
        self.empty += more.empty


# The pieces of the source and of the target of each pair; and, if they are kept, the two texts.
_Prepared = tuple[list[tuple[list[str], list[str]]], list[tuple[str, ...]]]


class Seq2SeqEncoder:
    """What `StoreBuilder` does with pairs of texts.

    Args:
        source: the pairs of the split.
        source_tokenizer: splits sources.
        target_tokenizer: splits targets.
        max_source: the largest number of pieces that are read of a source.
        max_target: the largest number of pieces of a target, without its end.
        with_texts: whether the texts are kept too.
        codec_of: the codec for the counts of all pairs.
        facts_of: what else to keep of the counts.
    """

    def __init__(
        self,
        source: Parted[Pair],
        source_tokenizer: ReversibleTokenizer,
        target_tokenizer: ReversibleTokenizer,
        *,
        max_source: int,
        max_target: int,
        with_texts: bool,
        codec_of: Callable[[Seq2SeqCounts], Seq2SeqCodec],
        facts_of: Callable[[Seq2SeqCodec, Seq2SeqCounts], dict[str, object]],
    ):
        self.source = source
        self._source_tokenizer = source_tokenizer
        self._target_tokenizer = target_tokenizer
        self._max_source = max_source
        self._max_target = max_target
        self._with_texts = with_texts
        self._codec_of = codec_of
        self._facts_of = facts_of

    def prepare(self, examples: list[Pair]) -> tuple[_Prepared, Seq2SeqCounts]:
        counts = Seq2SeqCounts(pairs=len(examples))
        prepared = []
        for pair in examples:
            source = self._source_tokenizer.split(pair.source)
            target = self._target_tokenizer.split(pair.target)
            counts.sources.update(source)
            counts.targets.update(target)
            counts.several += len(split_sentences(pair.source)) > 1
            counts.cut_sources += len(source) > self._max_source
            counts.cut_targets += len(target) > self._max_target
            counts.empty += not source
            prepared.append((source[: self._max_source], target[: self._max_target]))
        return (prepared, list(map(tuple, examples)) if self._with_texts else []), counts

    def merge(self, counts: Seq2SeqCounts, more: Seq2SeqCounts) -> None:
        counts.add(more)

    def fit(self, counts: Seq2SeqCounts) -> None:
        self._codec = self._codec_of(counts)
        self._facts = {
            "codec": self._codec.state,
            "cut_sources": counts.cut_sources,
            "cut_targets": counts.cut_targets,
            "empty": counts.empty,
            **self._facts_of(self._codec, counts),
        }

    def encode(self, prepared: _Prepared) -> Columns:
        pieces, texts = prepared
        sources = [source for source, _ in pieces]
        targets = [target for _, target in pieces]
        data = Seq2SeqDataset.of_pieces(sources, targets, self._codec.indexer)
        columns: dict[str, Ragged | Integers] = {
            "source_ids": data.sources.ids,
            "copy_ids": data.sources.copy_ids,
            "unknown": data.sources.unknown.text,
            "unknown_sizes": data.sources.unknown.sizes,
            "target_ids": data.target_ids,
        }
        if data.sources.vector_ids is not None:
            columns["vector_ids"] = data.sources.vector_ids
        if self._with_texts:
            lists = StringLists.of(texts)
            columns |= {"texts": lists.text, "text_sizes": lists.sizes}
        return columns

    def tables(self) -> dict[str, Columns]:
        return {}

    def facts(self) -> dict[str, object]:
        return self._facts


def stored_pairs(store: Store) -> Seq2SeqDataset:
    """The data set of a store."""
    sources = Sources(
        store.ragged("source_ids"),
        store.ragged("copy_ids"),
        store.ragged("vector_ids") if store.has("vector_ids") else None,
        StringLists(store.ragged("unknown"), store.ragged("unknown_sizes")),
        cut=store.facts["cut_sources"],
        empty=store.facts["empty"],
    )
    pairs = None
    if store.has("texts"):
        pairs = StoredPairs(StringLists(store.ragged("texts"), store.ragged("text_sizes")))
    return Seq2SeqDataset(sources, store.ragged("target_ids"), pairs, cut=store.facts["cut_targets"])


class StoredPairs(Sequence[Pair]):
    """The texts of pairs, which are decoded when they are asked for."""

    def __init__(self, texts: StringLists):
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts.text)

    @overload
    def __getitem__(self, row: int) -> Pair: ...

    @overload
    def __getitem__(self, row: slice) -> list[Pair]: ...

    def __getitem__(self, row: int | slice) -> Pair | list[Pair]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        return Pair(*self._texts.take([row])[0])
