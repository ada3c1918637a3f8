"""The baseline of tagging: the most frequent tag of each word.

Shapes: B sentences, T tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor

from datamodules.tagging import TaggingDataModule
from recipes.baselines.baseline import Baseline, computed
from zoo.metrics.tagging import TaggingMetrics
from zoo.text import UNKNOWN_ID

# So many sentences are padded together.
ROWS = 256


def baselines(data: TaggingDataModule, stage: str, *, quick: bool) -> Iterator[Baseline]:
    """The most frequent tag of each word in the training split; for other words, the most frequent tag of all."""
    train = data.examples("train")
    pairs = Counter(chain.from_iterable(zip(sentence.tokens, sentence.tags, strict=True) for sentence in train))
    best: dict[str, str] = {}
    for (token, tag), _ in pairs.most_common():
        best.setdefault(token, tag)
    ((usual, _),) = Counter(chain.from_iterable(sentence.tags for sentence in train)).most_common(1)
    codec = data.codec
    metrics = TaggingMetrics(list(codec.tags), codec.scheme)
    sentences = data.examples("test" if stage == "test" else "dev")
    for start in range(0, len(sentences), ROWS):
        part = sentences[start : start + ROWS]
        lengths = torch.tensor([len(sentence.tokens) for sentence in part])
        tokens = list(chain.from_iterable(sentence.tokens for sentence in part))
        word_ids, _ = codec.indexer.ids(tokens)
        metrics.update(
            _padded(codec.tag_ids([best.get(token, usual) for token in tokens]), lengths),
            _padded(codec.tag_ids(list(chain.from_iterable(sentence.tags for sentence in part))), lengths),
            lengths,
            _padded((word_ids == UNKNOWN_ID).tolist(), lengths).bool(),
        )
    yield Baseline.of("most frequent tag of each word", stage, computed(metrics))


def _padded(values: Sequence[int], lengths: Tensor) -> Tensor:
    """The values of all sentences, one after the other, as `(B, T)`."""
    parts = torch.tensor(values).split(lengths.tolist())
    return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
