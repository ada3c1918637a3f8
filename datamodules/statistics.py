"""What the splits of a corpus are like: lengths, labels, unknown words, and examples that occur more than once.

Shapes: N examples, M tokens of all of them, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from datamodules.base import CorpusDataModule
from zoo.batches.classification import ClassificationDataset
from zoo.batches.language_modeling import TokenStream
from zoo.batches.ragged import Integers
from zoo.batches.seq2seq import Seq2SeqDataset
from zoo.batches.tagging import TaggingDataset
from zoo.codecs import ClassificationCodec, TaggingCodec
from zoo.text import UNKNOWN_ID

# Of a larger split, these first tokens are counted. All of them would have to be read from the disk.
COUNTED_TOKENS = 20_000_000
# The lengths that are told, as fractions of the examples that are not longer.
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
# The bars of a histogram of lengths, the last of which has all longer examples.
BARS = 24


class SplitStatistics(TypedDict):
    """The statistics of one split, in JSON's types."""

    examples: int
    tokens: int
    """What the model reads, without the gold."""
    lengths: list[int]
    """In tokens, at `QUANTILES`."""
    histogram: list[int]
    """The examples of each `bar` lengths."""
    bar: int
    """The lengths that a bar of the histogram stands for."""
    unknown: float
    """The fraction of the tokens that are unknown to the model."""
    labels: dict[str, int]
    """How often each label or tag is in gold, in the order of their ids; empty for texts."""
    repeated: int | None
    """The examples whose input has occurred before in the split; None for a split that is kept on disk."""
    in_train: int | None
    """The examples whose input is in the training split, too; None for the training split itself, and on disk."""


def statistics_of(data: CorpusDataModule[Any, Any], split: str) -> SplitStatistics | None:
    """The statistics of a split, which is encoded for this if it is not yet; None for tensors of a user's own task.

    Args:
        data: a datamodule of the zoo.
        split: "train", "dev" or "test".
    """
    encoded = data.encoded(split)
    read = _read(encoded)
    if read is None:
        return None
    lengths, word_ids = read
    bar = max(1, -(-int(np.quantile(lengths, 0.98)) // BARS))
    bars = np.minimum((np.maximum(lengths, 1) - 1) // bar, BARS - 1)
    unknown = float((word_ids == UNKNOWN_ID).mean()) if len(word_ids) else 0.0
    return SplitStatistics(
        examples=len(lengths),
        tokens=int(lengths.sum()),
        lengths=[round(value) for value in np.quantile(lengths, QUANTILES)],
        histogram=np.bincount(bars, minlength=BARS).tolist(),
        bar=bar,
        unknown=unknown,
        labels=_labels(encoded, data),
        repeated=data.overlap.repeated(split),
        in_train=data.overlap.in_train(split),
    )


def _read(encoded: object) -> tuple[NDArray[Any], Integers] | None:
    """The lengths `(N,)` of what a model reads of a split, and the ids of its tokens `(M,)`."""
    if isinstance(encoded, TaggingDataset):
        sentences = encoded.sentences
        return sentences.lengths, sentences.forms.word_ids[sentences.form_ids.head(COUNTED_TOKENS)]
    if isinstance(encoded, ClassificationDataset):
        ragged = encoded.texts.word_ids
    elif isinstance(encoded, Seq2SeqDataset):
        ragged = encoded.sources.ids
    elif isinstance(encoded, TokenStream):
        ragged = encoded.lines
    else:
        return None
    return ragged.lengths, ragged.head(COUNTED_TOKENS)


def _labels(encoded: object, data: CorpusDataModule[Any, Any]) -> dict[str, int]:
    codec = data.codec
    if isinstance(encoded, TaggingDataset) and isinstance(codec, TaggingCodec):
        return _counted(list(codec.tags), encoded.tag_ids.head(COUNTED_TOKENS))
    if isinstance(encoded, ClassificationDataset) and isinstance(codec, ClassificationCodec):
        gold = encoded.gold
        # A text may have several labels.
        label_ids = gold.nonzero()[1] if gold.ndim == 2 else gold
        return _counted(list(codec.labels), label_ids)
    return {}


def _counted(labels: Sequence[str], label_ids: Integers) -> dict[str, int]:
    """How often each label occurs; ids beyond the last label stand for labels that the training split lacks."""
    counts = np.bincount(label_ids, minlength=len(labels))
    found = dict(zip(labels, counts[: len(labels)].tolist(), strict=True))
    unseen = int(counts[len(labels) :].sum())
    return {**found, "<unseen>": unseen} if unseen else found
