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

    def _warn(self, split: str) -> None:
        sums = self._sums[split]
        count = int(np.isin(sums, self._sums[TRAIN]).sum())
        if count:
            rank_zero_warn(
                f"{count:,} of {len(sums):,} examples of {split} ({100 * count / len(sums):.1f} %) are in {TRAIN} too: "
                "on them a model may remember the answer. Remove them from one of the files, unless the corpus is "
                "published like this"
            )
