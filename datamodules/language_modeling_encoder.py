"""Encodes a large corpus of texts for a language model into a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import chain

import numpy as np

from datamodules.arrow_files import Columns
from datamodules.encoding import Packed, counter, numbered, packed, unpacked
from datamodules.readers.file_parts import Parted
from datamodules.store import Store
from zoo.batches.language_modeling import TokenStream
from zoo.batches.ragged import Ragged, offsets_of
from zoo.codecs import LanguageModelingCodec
from zoo.codecs.language_modeling import END_ID, units_of

# The distinct tokens of a part, the position of each token among them, the lengths of texts in tokens, and their words
# and characters.
_Prepared = tuple[list[str], Packed, Packed, Packed, Packed]


class LanguageModelingEncoder:
    """What `StoreBuilder` does with texts.

    Args:
        source: the texts of the split.
        split: splits a text into tokens.
        codec_of: the codec for the counts of all tokens.
    """

    def __init__(
        self,
        source: Parted[str],
        split: Callable[[str], list[str]],
        *,
        codec_of: Callable[[Counter[str]], LanguageModelingCodec],
    ):
        self.source = source
        self._split = split
        self._codec_of = codec_of

    def prepare(self, examples: list[str]) -> tuple[_Prepared, Counter[str]]:
        texts = [self._split(text) for text in examples]
        tokens, token_ids = numbered(chain.from_iterable(texts))
        lengths = np.array(list(map(len, texts)), dtype=np.int64)
        units = np.array([units_of(text) for text in examples], dtype=np.int64)  # (L, 2)
        prepared = (tokens, packed(token_ids), packed(lengths), packed(units[:, 0]), packed(units[:, 1]))
        return prepared, counter(tokens, token_ids)

    def merge(self, counts: Counter[str], more: Counter[str]) -> None:
        counts.update(more)

    def fit(self, counts: Counter[str]) -> None:
        self._codec = self._codec_of(counts)

    def encode(self, prepared: _Prepared) -> Columns:
        tokens, token_ids, lengths, words, characters = prepared
        distinct = np.array(self._codec.vocabulary.ids(tokens), dtype=np.int32)
        # Behind the tokens of each text comes its end.
        offsets = offsets_of(unpacked(lengths) + 1)
        ids = np.full(offsets[-1], END_ID, dtype=np.int32)
        is_token = np.ones(len(ids), dtype=bool)
        is_token[offsets[1:] - 1] = False
        ids[is_token] = distinct[unpacked(token_ids)]
        return {"token_ids": Ragged(ids, offsets), "words": unpacked(words), "characters": unpacked(characters)}

    def tables(self) -> dict[str, Columns]:
        return {}

    def facts(self) -> dict[str, object]:
        return {"codec": self._codec.state}


def stored_stream(store: Store, *, backward: bool) -> TokenStream:
    """The stream of a store.

    Args:
        store: what the encoder has written.
        backward: whether the stream is read from its end.
    """
    return TokenStream(
        store.ragged("token_ids"), words=store.flat("words"), characters=store.flat("characters"), backward=backward
    )
