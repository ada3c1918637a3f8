"""What an evaluation finds out about each example, kept while a recipe scores its best model.

Shapes: B examples, N tokens of all of them, T tokens of the longest one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from zoo.models.processes import of_all_processes

NO_IDS = np.zeros(0, dtype=np.int32)
NO_WORDS = np.zeros(0, dtype=np.bool_)


class Outcome(NamedTuple):
    """How improbable the gold of an example is, and a tagger's answer to it."""

    loss: float
    """The negative log-likelihood of the gold in nats, summed over its tokens."""
    tokens: int
    """The tokens that it is the sum over."""
    tag_ids: NDArray[np.int32] = NO_IDS
    """(T,), the predicted tags; empty unless the model is a tagger."""
    unknown: NDArray[np.bool_] = NO_WORDS
    """(T,), whether each word is not in the training data; empty unless the model is a tagger."""


class Outcomes:
    """Collects the outcomes of an evaluation by row."""

    def __init__(self) -> None:
        self._found: dict[int, Outcome] = {}

    def add_tagged(
        self, rows: Tensor, losses: tuple[Tensor, Tensor], tag_ids: Tensor, unknown: Tensor, lengths: Tensor
    ) -> None:
        """Adds a batch of sentences.

        Args:
            rows: `(B,)`.
            losses: what `sentence_losses` returns: sums `(B,)`, and the tokens of each sum `(B,)`.
            tag_ids: predicted tags, `(B, T)`.
            unknown: True at words that are not in the training data, `(B, T)`.
            lengths: `(B,)`.
        """
        ids = tag_ids.int().cpu().numpy()
        words = unknown.cpu().numpy()
        sums, tokens = (part.tolist() for part in losses)
        for i, (row, length) in enumerate(zip(rows.tolist(), lengths.tolist(), strict=True)):
            # A view would keep the padding.
            self._found[row] = Outcome(sums[i], tokens[i], ids[i, :length].copy(), words[i, :length].copy())

    def add_written(self, rows: Tensor, losses: Tensor, target_lengths: Tensor) -> None:
        """Adds a batch of pairs.

        Args:
            rows: `(B,)`.
            losses: the negative log-likelihood of each token of all targets, `(N,)`.
            target_lengths: `(B,)`.
        """
        lengths = target_lengths.tolist()
        for row, length, part in zip(rows.tolist(), lengths, losses.double().cpu().split(lengths), strict=True):
            self._found[row] = Outcome(float(part.sum()), length)

    def gathered(self) -> dict[int, Outcome]:
        """The outcomes of all processes by row, in the order of the split. All processes must call it together."""
        found = {row: outcome for part in of_all_processes(self._found) for row, outcome in part.items()}
        return {row: found[row] for row in sorted(found)}
