"""Encodes a large tagging corpus into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import cast

import numpy as np

from datamodules.arrow_files import Columns
from datamodules.encoding import Packed, counter, numbered, packed, unpacked
from datamodules.examples import TaggedSentence
from datamodules.readers.file_parts import Parted
from datamodules.store import Store
from zoo.batches.context import SentenceReader
from zoo.batches.ragged import Integers, Ragged, offsets_of
from zoo.batches.tagging import FormTable, Sentences, TaggingDataset
from zoo.codecs import TaggingCodec
from zoo.text.tag_schemes import is_legal

# The columns of the pieces of each form, by the number of the language model.
PIECES = "pieces-"


@dataclass
class TaggingCounts:
    """How often each form and each tag occurs, and how many sentences break the scheme of their tags."""

    forms: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    broken: int = 0

    def add(self, sentences: list[TaggedSentence], scheme: str | None) -> None:
        """Counts more sentences."""
        for sentence in sentences:
            self.forms.update(sentence.tokens)
            self.tags.update(sentence.tags)
        self.count_broken(sentences, scheme)

    def count_broken(self, sentences: list[TaggedSentence], scheme: str | None) -> None:
        """Counts the sentences that break a scheme; None for tags that have none."""
        if scheme is not None:
            self.broken += sum(not is_legal(sentence.tags, scheme) for sentence in sentences)


# The distinct forms and tags of a part, the position of each token's form and tag among them, and the lengths.
_Prepared = tuple[list[str], Packed, list[str], Packed, Packed]


class TaggingEncoder:
    """What `StoreBuilder` does with tagged sentences.

    Args:
        source: the sentences of the split.
        convert: converts the tags of some of them.
        scheme: the scheme of converted tags.
        codec_of: the codec for the counts of all sentences.
        facts_of: what else to keep of the counts.
    """

    def __init__(
        self,
        source: Parted[TaggedSentence],
        convert: Callable[[list[TaggedSentence]], list[TaggedSentence]],
        *,
        scheme: str | None,
        codec_of: Callable[[TaggingCounts], TaggingCodec],
        facts_of: Callable[[TaggingCodec, TaggingCounts], dict[str, object]],
    ):
        self.source = source
        self._convert = convert
        self._scheme = scheme
        self._codec_of = codec_of
        self._facts_of = facts_of
        # Of each form its row in the table of forms, in the order of their first occurrence.
        self._rows: dict[str, int] = {}

    def prepare(self, examples: list[TaggedSentence]) -> tuple[_Prepared, TaggingCounts]:
        sentences = self._convert(examples)
        forms, form_ids = numbered(chain.from_iterable(sentence.tokens for sentence in sentences))
        tags, tag_ids = numbered(chain.from_iterable(sentence.tags for sentence in sentences))
        lengths = np.array([len(sentence.tokens) for sentence in sentences], dtype=np.int64)
        counts = TaggingCounts(counter(forms, form_ids), counter(tags, tag_ids))
        counts.count_broken(sentences, self._scheme)
        return (forms, packed(form_ids), tags, packed(tag_ids), packed(lengths)), counts

    def merge(self, counts: TaggingCounts, more: TaggingCounts) -> None:
        counts.forms.update(more.forms)
        counts.tags.update(more.tags)
        counts.broken += more.broken

    def fit(self, counts: TaggingCounts) -> None:
        self._codec = self._codec_of(counts)
        self._rows = {form: row for row, form in enumerate(counts.forms)}
        self._facts = {"codec": self._codec.state, "broken": counts.broken, **self._facts_of(self._codec, counts)}
        self._facts["tags"] = dict(counts.tags)

    def encode(self, prepared: _Prepared) -> Columns:
        forms, form_ids, tags, tag_ids, lengths = prepared
        offsets = offsets_of(unpacked(lengths))
        rows = np.array([self._rows[form] for form in forms], dtype=np.int32)
        of_tags = np.array(self._codec.tag_ids(tags), dtype=np.int32)
        return {
            "form_ids": Ragged(rows[unpacked(form_ids)], offsets),
            "tag_ids": Ragged(of_tags[unpacked(tag_ids)], offsets),
        }

    def tables(self) -> dict[str, Columns]:
        forms = FormTable.of(list(self._rows), self._codec.indexer)
        columns: dict[str, Ragged | Integers] = {"word_ids": forms.word_ids, "character_ids": forms.character_ids}
        if forms.vector_ids is not None:
            columns["vector_ids"] = forms.vector_ids
        columns |= {f"{PIECES}{place}": pieces for place, pieces in enumerate(forms.pieces)}
        return {"forms": columns}

    def facts(self) -> dict[str, object]:
        return self._facts


def stored_sentences(store: Store, readers: Sequence[SentenceReader]) -> TaggingDataset:
    """The data set of a store.

    Args:
        store: what the encoder has written.
        readers: how language models read the sentences.
    """
    table = store.table("forms")
    forms = FormTable(
        cast(Integers, table["word_ids"]),
        cast(Integers | None, table.get("vector_ids")),
        cast(Ragged, table["character_ids"]),
        tuple(cast(Ragged, table[f"{PIECES}{place}"]) for place in range(len(readers))),
    )
    return TaggingDataset(Sentences(store.ragged("form_ids"), forms, readers), store.ragged("tag_ids"))
