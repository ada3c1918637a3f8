"""Layers of the backbone: their sizes, initial weights, skips, and what is refused."""

from __future__ import annotations

import pytest
import torch
from recurrent import INPUTS, UNITS, batch, make, trained

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.errors import ZooError
from zoo.nn.cells import scan_layer


def test_a_projection_sets_the_output_size():
    backbone = make("projected_lstm", 2, options=RecurrentOptions(projection_size=4))
    encoded = backbone(*batch([3, 2]))
    assert encoded.sequence.shape == (2, 3, 8) and encoded.final.shape == (2, 2, 8)
    assert [part.shape[1] for part in encoded.state[0]] == [4, UNITS]


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_matrices_are_initialised_orthogonally(cell):
    for layer in make(cell, 2).cells:
        if hasattr(layer, "weight_hh"):
            for gate in layer.weight_hh.chunk(layer.num_gates):  # (H, O), O at most H
                torch.testing.assert_close(gate.T @ gate, torch.eye(layer.output_size), atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_input_matrices_are_initialised_uniformly_gate_by_gate(cell):
    (one,) = RecurrentBackbone(40, 50, cell=cell, bidirectional=False).cells
    # Glorot & Bengio 2010, eq. 16.
    bound = (6 / (40 + 50)) ** 0.5
    for gate in one.weight_ih.chunk(one.num_gates):
        assert 0.95 * bound < gate.abs().max() <= bound


@pytest.mark.parametrize("cell", CELLS)
def test_a_larger_forget_bias_keeps_more_of_the_past(cell):
    if "forget_bias" not in CELLS[cell].supported_options:
        with pytest.raises(ZooError, match="forget_bias"):
            make(cell, options=RecurrentOptions(forget_bias=2.0))
        return
    kept = {}
    for bias in (-3.0, 0.0, 1.0, None, 3.0):
        backbone = make(cell, bidirectional=False, options=RecurrentOptions(forget_bias=bias))
        x = batch([5])[0].requires_grad_()
        (gradient,) = torch.autograd.grad(backbone(x, torch.tensor([5])).final.sum(), x)
        kept[bias] = float(gradient[0, 0].abs().sum())
    assert kept[3.0] > 2 * kept[-3.0]
    # The default is 1, and 0 is not mistaken for None.
    assert kept[None] == kept[1.0] > kept[0.0]


@pytest.mark.parametrize("cell", CELLS)
def test_skips_equal_their_formulas(cell):
    x, lengths = batch([5, 2, 4])
    for skip in ("residual", "highway"):
        backbone = trained(make(cell, 2, options=RecurrentOptions(skip=skip)))
        first, _ = scan_layer(backbone.layers[0], x, lengths, None)
        second, _ = scan_layer(backbone.layers[1], first, lengths, None)
        expected = first + second
        if skip == "highway":
            gate = torch.sigmoid(first @ backbone.skips[0].gate.weight.T + backbone.skips[0].gate.bias)
            expected = gate * second + (1 - gate) * first
        for row, length in enumerate(lengths):
            torch.testing.assert_close(backbone(x, lengths).sequence[row, :length], expected[row, :length])


@pytest.mark.parametrize("cell", CELLS)
def test_a_new_highway_lets_little_of_the_output_through(cell):
    x, lengths = batch([4, 4, 4])
    backbone = make(cell, 2, options=RecurrentOptions(skip="highway"))
    first, _ = scan_layer(backbone.layers[0], x, lengths, None)
    second, _ = scan_layer(backbone.layers[1], first, lengths, None)
    share = (backbone(x, lengths).sequence - first) / (second - first)
    assert 0.05 < share.median() < 0.4


def test_unknown_names_and_empty_sizes_are_refused():
    with pytest.raises(ZooError, match="did you mean 'lstm'.*gru, layer_norm_lstm, lstm"):
        RecurrentBackbone(3, 4, cell="ltsm")
    for wrong in (dict(hidden_size=0), dict(input_size=0), dict(num_layers=0)):
        with pytest.raises(ZooError, match="at least 1"):
            RecurrentBackbone(**{"input_size": 3, "hidden_size": 4, **wrong})
    with pytest.raises(ZooError, match="highway, none, residual"):
        make("lstm", 2, options=RecurrentOptions(skip="skip"))
    with pytest.raises(ZooError, match="num_layers=2"):
        make("lstm", 1, options=RecurrentOptions(skip="residual"))
    with pytest.raises(ZooError, match="kernel of the cell 'lstm'.*auto, fused, packed, steps"):
        make("lstm", options=RecurrentOptions(kernel="by_hand"))
    with pytest.raises(ZooError, match="unknown option of RecurrentOptions 'zone_out': did you mean 'zoneout'"):
        make("lstm", options={"zone_out": 0.5})
    for size in (0, UNITS + 1):
        with pytest.raises(ZooError, match=f"projection_size from 1 to the {UNITS} units, got {size}"):
            make("projected_lstm", options={"projection_size": size})
    with pytest.raises(ZooError, match="current, previous"):
        make("peephole_lstm", options=RecurrentOptions(output_gate="last"))
    for wrong in (dict(cell=None), dict(options={"skip": None})):
        with pytest.raises(ZooError, match="known are"):
            RecurrentBackbone(3, 4, **wrong)
    for name, wrong in (
        ("zoneout", 1.0),
        ("zoneout", -0.1),
        ("weight_drop", "0.1"),
        ("forget_bias", float("nan")),
        ("forget_bias", "1"),
        ("projection_size", 2.5),
        ("projection_size", True),
    ):
        with pytest.raises(ZooError, match=f"expected a {name}.*got {wrong!r}"):
            RecurrentOptions(**{name: wrong})
    backbone = make("lstm")
    with pytest.raises(ZooError, match="bidirectional=False"):
        backbone.step(torch.zeros(1, INPUTS), backbone.initial_state(1))


@pytest.mark.parametrize("cell", CELLS)
def test_other_shapes_are_refused(cell):
    """torch's own kernels would read past the end of a tensor that is too short."""
    backbone = make(cell, 2)
    x, lengths = batch([4, 2])
    state = backbone(x, lengths).state
    for wrong in (torch.zeros(2, 4, INPUTS + 1), torch.zeros(2, 4, 1), x[0], x[:, :0], x[:0]):
        with pytest.raises(ZooError, match=rf"expected x of shape \(B, T, {INPUTS}\)"):
            backbone(wrong, lengths)
    for wrong in (lengths[:1], lengths.float(), [4, 2], lengths[:, None]):
        with pytest.raises(ZooError, match=r"lengths as integers in a tensor of shape \(2,\)"):
            backbone(x, wrong)
    for wrong in (torch.tensor([5, 2]), torch.tensor([4, -1])):
        with pytest.raises(ZooError, match="lengths from 0 to 4, the steps of x, got"):
            backbone(x, wrong)
    one_row = tuple(tuple(part[:1] for part in parts) for parts in state)
    narrow = tuple(tuple(part[:, 1:] for part in parts) for parts in state)
    for wrong in (state[:2], (), state + state, one_row, narrow, state[0], [(), *state[1:]]):
        with pytest.raises(ZooError, match=r"expected a state of shapes \[\[\(2, "):
            backbone(x, lengths, wrong)
    with pytest.raises(ZooError, match="expected x of shape"):
        backbone.cells[0].scan(x[..., 1:], lengths, state[0])
    stepper = make(cell, 2, bidirectional=False)
    with pytest.raises(ZooError, match=r"expected a state of shapes \[\[\(2, "):
        stepper.step(x[:, 0], stepper.initial_state(2)[:1])
    h, *others = stepper.initial_state(2)[0]
    for wrong in (((h[:1], *others),) * 2, ((h, *others, h),) * 2, ((h[:, :1], *others),) * 2, ((),) * 2, None):
        with pytest.raises(ZooError, match="expected a state of shapes"):
            stepper.step(x[:, 0], wrong)
    for wrong, rows in ((x[:, 0], 1), (x[:1, 0], 2), (x[0, 0], 2), (x[:, 0, 1:], 2)):
        with pytest.raises(ZooError, match="expected x of shape|expected a state of"):
            stepper.step(wrong, stepper.initial_state(rows))
