"""`print(model)` tells the sizes and probabilities of every module."""

from __future__ import annotations

import pytest
from torch import nn
from torchmetrics import Metric

from zoo import CELLS, RecurrentBackbone, from_pretrained


def silent_modules(model: nn.Module) -> list[str]:
    """The names of our own modules without children whose repr is empty; torchmetrics writes that of a metric."""
    return [
        name
        for name, module in model.named_modules()
        if type(module).__module__.startswith("zoo.") and not isinstance(module, Metric)
        if not any(module.children()) and not module.extra_repr()
    ]


@pytest.mark.parametrize("name", ["pos-en-ewt", "ner-zh-resume", "sentiment-en-sst2", "titles-en-acl"])
def test_every_module_of_a_model_describes_itself(name):
    assert silent_modules(from_pretrained(name)) == []


@pytest.mark.parametrize("skip", ["none", "residual", "highway"])
@pytest.mark.parametrize("cell", CELLS)
def test_every_module_of_a_backbone_describes_itself(cell, skip):
    backbone = RecurrentBackbone(4, 6, cell=cell, num_layers=2, dropout=0.2, options={"skip": skip})
    assert silent_modules(backbone) == []
    assert f"{type(backbone.cells[0]).__name__}(4, 6" in repr(backbone)
    assert "LockedDropout(p=0.2)" in repr(backbone)


def test_a_cell_names_the_options_that_differ_from_their_defaults():
    backbone = RecurrentBackbone(4, 6, cell="projected_lstm", options={"zoneout": 0.1, "projection_size": 2})
    assert repr(backbone.cells[0]) == "ProjectedLSTM(4, 6, output_size=2, projection_size=2, zoneout=0.1)"
