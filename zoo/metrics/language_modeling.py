"""Perplexity per token and per word, and bits per character."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from zoo.metrics.loss import MeanLoss


class LanguageModelingMetrics(MeanLoss):
    """How well a model predicts a text, in three units.

    - "perplexity": per token of the model, ends of lines included. It compares models with one vocabulary.
    - "word_perplexity": per word between white space, the end of a line being a word, whatever the tokens of the model.
      It compares models with different tokens, as long as neither has an unknown one.
    - "bits_per_character": per character, spaces and ends of lines included.
    """

    units: Tensor  # (2,) words and characters

    def __init__(self) -> None:
        super().__init__()
        self.add_state("units", torch.zeros(2, dtype=torch.long), dist_reduce_fx="sum")

    # A window has its words and characters besides.
    def update(self, loss: Tensor, count: Tensor, units: Tensor) -> None:  # type: ignore[override]
        """Adds a window.

        Args:
            loss: the mean negative log-likelihood of its targets in nats, `()`.
            count: the number of its targets, `()`.
            units: the words and the characters that they are, `(2,)`.
        """
        super().update(loss, count)
        self.units += units

    def compute(self) -> dict[str, Tensor]:  # type: ignore[override]
        """The scores by name, each `()`."""
        mean = super().compute().double().cpu()
        nats = mean * dim_zero_cat(self.counts).sum().cpu()
        words, characters = self.units.cpu()
        return {
            "perplexity": mean.exp().float(),
            "word_perplexity": (nats / words).exp().float(),
            "bits_per_character": (nats / characters / math.log(2)).float(),
        }
