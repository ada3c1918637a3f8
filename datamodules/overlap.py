"""Warns of examples of dev or test that are in the training split too."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt
from pytorch_lightning.utilities import rank_zero_warn

TRAIN = "train"


class Overlap:
    """Compares the inputs of splits, and warns of those that are in train too, on the first process only.

    It keeps eight bytes of each example. Two different inputs have the same sum so rarely that no count is wrong.
    """

    def __init__(self) -> None:
        self._sums: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, split: str, inputs: Iterable[Hashable]) -> None:
        """Compares the inputs of a split, without their labels, with those of the splits that were added before."""
        self._sums[split] = np.fromiter(map(hash, inputs), np.int64)
        if TRAIN not in self._sums:
            return
        others = [name for name in self._sums if name != TRAIN] if split == TRAIN else [split]
        for other in others:
            self._warn(other)

    def repeated(self, split: str) -> int | None:
        """The examples of a split whose input has occurred before in the split; None if they were not added."""
        sums = self._sums.get(split)
        return None if sums is None else len(sums) - len(np.unique(sums))

    def in_train(self, split: str) -> int | None:
        """The examples of another split whose input is in train, too; None if those of one of them were not added."""
        if split == TRAIN or TRAIN not in self._sums or split not in self._sums:
            return None
        return int(np.isin(self._sums[split], self._sums[TRAIN]).sum())

    def _warn(self, split: str) -> None:
        count = self.in_train(split)
        total = len(self._sums[split])
        if count:
            rank_zero_warn(
                f"{count:,} of {total:,} examples of {split} ({100 * count / total:.1f} %) are in {TRAIN} too: "
                "on them a model may remember the answer. Remove them from one of the files, unless the corpus is "
                "published like this"
            )
