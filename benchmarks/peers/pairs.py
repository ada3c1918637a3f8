"""The pairs that our sequence-to-sequence benchmarks train on, all of them or a few."""

from __future__ import annotations

from datamodules.seq2seq import Seq2SeqDataModule
from zoo.batches.seq2seq import Pair


class FirstPairs(Seq2SeqDataModule):
    """A corpus as recipes train on it, or only the first `limit` pairs of each split."""

    def __init__(
        self,
        dataset: str,
        *,
        root: str | None,
        limit: int | None,
        lowercase: bool = False,
        max_source: int = 400,
        max_target: int = 100,
    ):
        super().__init__(dataset, root=root, lowercase=lowercase, max_source=max_source, max_target=max_target)
        self.limit = limit

    def pairs(self, split: str) -> list[Pair]:
        return super().pairs(split)[: self.limit]
