"""Pooling: from a padded sequence to one vector.

Shapes: B rows, T time steps, D * H features of the backbone's output, P poolings side by side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.errors import unknown_name
from zoo.masks import masked_softmax, max_over_time, mean_over_time, padding_mask
from zoo.nn.backbone import BackboneOutput

POOLINGS = ("last", "mean", "max", "attention")


class Pooled(NamedTuple):
    """The result of a pooling."""

    vectors: Tensor  # (B, P * D * H)
    weights: Tensor | None  # (B, T) attention weights, zeros at padding; None without attention


class Pooling(nn.Module):
    """One or several poolings over the unpadded positions of a text, concatenated.

    Args:
        names: one or several of these, joined by "+" as in "mean+max":
            "last": the last output of each direction of the top layer, after it has read the whole text;
            "mean" and "max": the mean and the maximum of each feature of the outputs;
            "attention": the mean of the outputs with a learned weight for each position (Lin et al. 2017, eq. 5 and 6).
        size: D * H.

    Raises:
        ZooError: an unknown pooling (the known ones are listed).
    """

    def __init__(self, names: str, size: int):
        super().__init__()
        self.names = names.split("+")
        for name in self.names:
            if name not in POOLINGS:
                raise unknown_name("pooling", name, POOLINGS)
        self.output_size = size * len(self.names)
        self.attention: nn.Sequential | None = None
        if "attention" in self.names:
            self.attention = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1, bias=False))

    def forward(self, encoded: BackboneOutput, lengths: Tensor) -> Pooled:
        """Pools the output of a backbone for a batch of `lengths (B,)`."""
        x = encoded.sequence  # (B, T, D * H)
        weights = None
        parts = []  # (B, D * H) each
        for name in self.names:
            if name == "last":
                parts.append(encoded.final[-1])
            elif name == "mean":
                parts.append(mean_over_time(x, lengths))
            elif name == "max":
                parts.append(max_over_time(x, lengths))
            elif self.attention is not None:
                scores = self.attention(x).squeeze(-1)  # (B, T)
                weights = masked_softmax(scores, padding_mask(lengths, x.shape[1]))  # (B, T)
                parts.append((weights[..., None] * x).sum(1))
        return Pooled(torch.cat(parts, dim=-1), weights)

    def extra_repr(self) -> str:
        return f"{'+'.join(self.names)}, output_size={self.output_size}"
