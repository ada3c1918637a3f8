"""Encodes a large tagging corpus into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from datamodules.examples import TaggedSentence
from datamodules.store import Columns, Store
from zoo.batches.ragged import Integers, Ragged
from zoo.batches.tagging import FormTable, Sentences, TaggingDataset, place_forms
from zoo.codecs import TaggingCodec
from zoo.text.tag_schemes import is_legal


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
        if scheme is not None:
            self.broken += sum(not is_legal(sentence.tags, scheme) for sentence in sentences)


class TaggingEncoder:
    """What `StoreBuilder` does with tagged sentences.

    Args:
        read: yields the sentences of the split.
        convert: converts the tags of some of them.
        scheme: the scheme of converted tags.
        codec_of: the codec for the counts of all sentences.
        facts_of: what else to keep of the counts.
    """

    def __init__(
        self,
        read: Callable[[], Iterator[TaggedSentence]],
        convert: Callable[[list[TaggedSentence]], list[TaggedSentence]],
        *,
        scheme: str | None,
        codec_of: Callable[[TaggingCounts], TaggingCodec],
        facts_of: Callable[[TaggingCodec, TaggingCounts], dict[str, object]],
    ):
        self.examples = read
        self._convert = convert
        self._scheme = scheme
        self._codec_of = codec_of
        self._facts_of = facts_of
        # Of each form its row in the table of forms, in the order of their first occurrence.
        self._rows: dict[str, int] = {}

    def prepare(self, examples: list[TaggedSentence]) -> tuple[list[Any], TaggingCounts]:
        sentences = self._convert(examples)
        counts = TaggingCounts()
        counts.add(sentences, self._scheme)
        return [(sentence.tokens, sentence.tags) for sentence in sentences], counts

    def merge(self, counts: TaggingCounts, more: TaggingCounts) -> None:
        counts.forms.update(more.forms)
        counts.tags.update(more.tags)
        counts.broken += more.broken

    def fit(self, counts: TaggingCounts) -> None:
        self._codec = self._codec_of(counts)
        self._rows = {form: row for row, form in enumerate(counts.forms)}
        self._facts = {"codec": self._codec.state, "broken": counts.broken, **self._facts_of(self._codec, counts)}
        self._facts["tags"] = dict(counts.tags)

    def encode(self, prepared: list[Any]) -> Columns:
        return {
            "form_ids": place_forms((tokens for tokens, _ in prepared), self._rows),
            "tag_ids": Ragged.of([self._codec.tag_ids(tags) for _, tags in prepared]),
        }

    def tables(self) -> dict[str, Columns]:
        forms = FormTable.of(list(self._rows), self._codec.indexer)
        columns: dict[str, Ragged | Integers] = {"word_ids": forms.word_ids, "character_ids": forms.character_ids}
        if forms.vector_ids is not None:
            columns["vector_ids"] = forms.vector_ids
        return {"forms": columns}

    def facts(self) -> dict[str, object]:
        return self._facts


def stored_sentences(store: Store) -> TaggingDataset:
    """The data set of a store."""
    table = store.table("forms")
    forms = FormTable(
        cast(Integers, table["word_ids"]),
        cast(Integers | None, table.get("vector_ids")),
        cast(Ragged, table["character_ids"]),
    )
    return TaggingDataset(Sentences(store.ragged("form_ids"), forms), store.ragged("tag_ids"))
