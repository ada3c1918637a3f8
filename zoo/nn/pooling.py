"""A padded sequence to one vector.

Shapes: B rows, T time steps, D * H backbone outputs, P poolings side by side.
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
    """What a pooling returns."""

    vectors: Tensor  # (B, P * D * H)
    weights: Tensor | None  # (B, T) of the attention, zeros at padding; None without it


class Pooling(nn.Module):
    """One or several poolings over a text's real positions, side by side.

    Args:
        names: joined by "+", as in "mean+max", of
            "last": where each direction of the top layer ends, having read the whole text;
            "mean" and "max": of the outputs, feature by feature;
            "attention": their mean by learned weights, one for each position (Lin et al. 2017, eq. 5 and 6).
        size: D * H, features of the backbone's output.

    Raises:
        ValueError: an unknown pooling (the known ones are listed).
    """

    def __init__(self, names: str, size: int):
        super().__init__()
        self.names = names.split("+")
        for name in self.names:
            if name not in POOLINGS:
                raise unknown_name("pooling", name, POOLINGS)
        self.output_size = size * len(self.names)
        self.attention = None
        if "attention" in self.names:
            self.attention = nn.Sequential(nn.Linear(size, size), nn.Tanh(), nn.Linear(size, 1, bias=False))

    def forward(self, encoded: BackboneOutput, lengths: Tensor) -> Pooled:
        """Pools what a backbone returned, over the real positions that `lengths (B,)` tells of."""
        x, weights = encoded.sequence, None
        parts = []  # each (B, D * H)
        for name in self.names:
            if name == "last":
                parts.append(encoded.final[-1])
            elif name == "mean":
                parts.append(mean_over_time(x, lengths))
            elif name == "max":
                parts.append(max_over_time(x, lengths))
            else:
                real = padding_mask(lengths, x.shape[1])  # (B, T)
                weights = masked_softmax(self.attention(x).squeeze(-1), real)  # (B, T)
                parts.append((weights[..., None] * x).sum(1))
        return Pooled(torch.cat(parts, dim=-1), weights)
