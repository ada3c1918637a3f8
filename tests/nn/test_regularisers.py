"""Dropout, weight drop and zoneout: each acts in its place, in training only."""

from __future__ import annotations

import pytest
import torch
from recurrent import EVERY_KERNEL, EVERY_SHAPE, INPUTS, KERNELS, REGULARISERS, UNITS, batch, make

from zoo import CELLS, RecurrentOptions
from zoo.errors import ZooError
from zoo.nn.cells import choose_kernel, scan_layer
from zoo.nn.dropout import LockedDropout, dropout


@EVERY_SHAPE
@pytest.mark.parametrize("name", REGULARISERS)
@EVERY_KERNEL
def test_regularisers_act_in_training_only(cell, kernel, name, layers, bidirectional):
    options = RecurrentOptions(kernel=kernel, **{name: 0.5})
    if name not in CELLS[cell].supported_options | {"input_dropout"}:
        with pytest.raises(ZooError, match=f"the cell '{cell}' does not support {name}=0.5"):
            make(cell, options=options)
        return
    if options.step_regularisers and kernel != "steps":
        with pytest.raises(ZooError, match=f"kernel='{kernel}' does not support {name}: .*kernel='steps'"):
            make(cell, options=options)
        return
    x = batch([4, 3])
    plain = make(cell, layers, bidirectional)(*x).sequence
    backbone = make(cell, layers, bidirectional, options=options)
    torch.testing.assert_close(backbone.eval()(*x).sequence, plain)
    changed = backbone.train()(*x).sequence
    for ours, theirs in zip(changed.chunk(backbone.directions, -1), plain.chunk(backbone.directions, -1), strict=True):
        # This holds for each direction.
        assert not torch.allclose(ours, theirs)
    changed.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in backbone.parameters())
    off = make(cell, layers, bidirectional, options=RecurrentOptions(kernel=kernel, **{name: 0.0}))
    torch.testing.assert_close(off.train()(*x).sequence, plain)


@pytest.mark.parametrize("name", ["hidden_dropout", "zoneout"])
@pytest.mark.parametrize("cell", [cell for cell in CELLS if "zoneout" in CELLS[cell].supported_options])
def test_step_regularisers_do_not_change_the_kernel_of_evaluation(cell, name):
    layer, plain = (make(cell, options=RecurrentOptions(**{name: p})).layers[0][0] for p in (0.5, 0.0))
    assert choose_kernel(layer.train()).name == "steps"
    assert choose_kernel(layer.eval()) == choose_kernel(plain.eval()) == choose_kernel(plain.train())


@pytest.mark.parametrize(
    "cell, kernel", [pair for pair in KERNELS if "weight_drop" in CELLS[pair[0]].supported_options]
)
def test_weight_drop_equals_a_matrix_with_zeros(cell, kernel):
    dropping = make(cell, bidirectional=False, options=RecurrentOptions(kernel=kernel, weight_drop=0.5))
    holed = make(cell, bidirectional=False, options=RecurrentOptions(kernel=kernel))
    assert choose_kernel(dropping.cells[0]).name == choose_kernel(holed.cells[0]).name == kernel
    x = batch([4, 3])
    torch.manual_seed(5)
    dropped = dropping(*x).sequence
    weight = holed.layers[0][0].weight_hh
    torch.manual_seed(5)
    weight.data = dropout(weight.data[None], 0.5, True)[0]
    assert 0.2 < (weight == 0).float().mean() < 0.8
    torch.testing.assert_close(dropped, holed(*x).sequence)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if "zoneout" in CELLS[cell].supported_options])
def test_zoneout_keeps_some_units_and_updates_the_others(cell):
    layer, plain = (
        make(cell, bidirectional=False, options=RecurrentOptions(zoneout=p)).layers[0][0] for p in (0.3, 0.0)
    )
    x, one = torch.randn(200, 1, INPUTS), torch.ones(200, dtype=torch.long)
    before = tuple(torch.rand_like(part) for part in layer.initial_state(200))
    after, moved = layer.scan(x, one, before)[1], plain.scan(x, one, before)[1]
    for part, (old, new, anyway) in enumerate(zip(before, after, moved, strict=True)):
        kept = new == old
        torch.testing.assert_close(new[~kept], anyway[~kept])
        assert 0.25 < kept.float().mean() < 0.35 if part < layer.free_states else not kept.any()


@pytest.mark.parametrize("cell", [cell for cell in CELLS if "zoneout" in CELLS[cell].supported_options])
def test_zoneout_keeps_outputs_bounded(cell):
    backbone = make(cell, options=RecurrentOptions(zoneout=0.7))
    assert backbone(torch.randn(2, 300, INPUTS), torch.tensor([300, 299])).sequence.abs().max() < 3


@pytest.mark.parametrize("name", ["input_dropout", "dropout"])
def test_locked_dropout_differs_between_rows_and_not_between_steps(name):
    backbone = make("rnn", 2, dropout=0.2, options=RecurrentOptions(input_dropout=0.2))
    mask = getattr(backbone, name)(torch.ones(40, 4, 50))
    assert (mask == mask[:, :1]).all()
    assert len(mask[:, 0].unique(dim=0)) == len(mask)
    assert (mask == 0).float().mean() == pytest.approx(0.2, abs=0.05)
    assert mask.unique().tolist() == [0, 1.25]


@EVERY_KERNEL
def test_each_dropout_acts_at_its_own_position(cell, kernel):
    options = RecurrentOptions(kernel=kernel, input_dropout=0.5)
    backbone, (x, lengths) = make(cell, 3, dropout=0.3, options=options), batch([5, 2, 4])
    torch.manual_seed(5)
    found = backbone(x, lengths).sequence
    # The same seed zeroes the same features.
    torch.manual_seed(5)
    for layer, p in zip(backbone.layers, (0.5, 0.3, 0.3), strict=True):
        x, _ = scan_layer(layer, LockedDropout(p)(x), lengths, None)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, :length], x[row, :length])


@pytest.mark.parametrize("p", [0.2, 0.9])
@pytest.mark.parametrize("drop", [lambda p: lambda x: dropout(x, p, True), LockedDropout], ids=["free", "locked"])
def test_dropout_zeroes_a_fraction_p_and_scales_the_rest(drop, p):
    torch.manual_seed(0)
    x = torch.rand(100, 200, dtype=torch.double) + 1
    y = drop(p)(x)
    # Five standard deviations are at most 0.015.
    assert float((y == 0).double().mean()) == pytest.approx(p, abs=0.02)
    torch.testing.assert_close(y[y != 0], (x / (1 - p))[y != 0])
    rows, columns = (y == 0).double().mean(1), (y == 0).double().mean(0)
    # Each place is drawn by itself: rows and columns lose about the same fraction.
    assert max(rows.std(), columns.std()) < 0.06


def test_hidden_dropout_is_locked_to_a_row():
    # The input is zero and the weights copy the state. So a unit that a row drops is zero at all its steps, and a unit
    # that it keeps is doubled at each step.
    cell = make("rnn", bidirectional=False, options=RecurrentOptions(hidden_dropout=0.5)).layers[0][0]
    cell.weight_hh.data.copy_(torch.eye(UNITS))
    outputs, _ = cell.scan(torch.zeros(9, 5, INPUTS), torch.full((9,), 5), (torch.full((9, UNITS), 0.01),))
    zero = outputs == 0
    assert 0 < zero.sum() < zero.numel()
    assert (zero == zero[:, :1]).all()
    before = torch.cat([torch.full((9, 1, UNITS), 0.01), outputs[:, :-1]], dim=1)
    torch.testing.assert_close(outputs, (2 * before).tanh() * ~zero)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_acts_in_training_only(cell):
    backbone, x = make(cell, 2, dropout=0.5), batch([4, 3])
    plain = make(cell, 2)(*x).sequence
    assert torch.equal(backbone.eval()(*x).sequence, plain)
    assert not torch.allclose(backbone.train()(*x).sequence, plain)
    assert torch.equal(make(cell, 1, dropout=0.5).train()(*x).sequence, make(cell, 1)(*x).sequence)
