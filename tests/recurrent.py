"""Small backbones and batches for the tests of recurrent layers."""

from __future__ import annotations

import pytest
import torch

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.nn.cells import kernel_names

INPUTS = 5
UNITS = 6
# Layers, and whether they are bidirectional.
SHAPES = [(1, False), (1, True), (2, False), (3, True)]
PLAIN = RecurrentOptions()
REGULARISERS = ("input_dropout", "hidden_dropout", "weight_drop", "zoneout")
KERNELS = [(cell, kernel) for cell in CELLS for kernel in kernel_names(cell)]

EVERY_KERNEL = pytest.mark.parametrize("cell, kernel", KERNELS)
EVERY_SHAPE = pytest.mark.parametrize("layers, bidirectional", SHAPES)
EVERY_PRECISION = pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])


def make(
    cell: str,
    layers: int = 1,
    bidirectional: bool = True,
    dropout: float = 0.0,
    options: RecurrentOptions = PLAIN,
) -> RecurrentBackbone:
    """A backbone whose weights depend on its sizes only."""
    torch.manual_seed(1)
    return RecurrentBackbone(
        INPUTS, UNITS, cell=cell, num_layers=layers, bidirectional=bidirectional, dropout=dropout, options=options
    )


def trained(backbone: RecurrentBackbone) -> RecurrentBackbone:
    """The backbone with random biases: most start at zero, where a test would not miss them."""
    for name, parameter in backbone.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone


def batch(lengths: list[int], extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs `(B, T, INPUTS)` and their lengths; T is `extra` more than the longest."""
    generator = torch.Generator().manual_seed(len(lengths))
    return torch.randn(len(lengths), max(lengths) + extra, INPUTS, generator=generator), torch.tensor(lengths)
