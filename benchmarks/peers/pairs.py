"""The corpora of the sequence-to-sequence benchmarks, complete or shortened."""

from __future__ import annotations

from datamodules.seq2seq import Seq2SeqDataModule
from zoo.batches.seq2seq import Pair


class FirstPairs(Seq2SeqDataModule):
    """A corpus as the recipes read it. If there is a `limit`, each split has only its first pairs."""

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

    def examples(self, split: str) -> list[Pair]:
        return super().examples(split)[: self.limit]
