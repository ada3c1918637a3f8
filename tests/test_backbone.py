"""The backbone, over every cell and kernel: exact under padding, equal to torch, the same in chunks and in steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.cells.gru_scan import span_length
from zoo.errors import ZooError

INPUTS, UNITS = 5, 6
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
SHAPES = [(1, False), (1, True), (2, False), (3, True)]
PLAIN = RecurrentOptions()
KERNELS = [(cell, kernel) for cell in CELLS for kernel in CELLS[cell].kernels]
REGULARISERS = ("input_dropout", "hidden_dropout", "weight_drop", "zoneout")


def options_for(cell: str, kernel: str) -> RecurrentOptions:
    return RecurrentOptions(kernel=kernel) if len(CELLS[cell].kernels) > 1 else RecurrentOptions()


def make(
    cell: str,
    layers: int = 1,
    bidirectional: bool = True,
    dropout: float = 0.0,
    options: RecurrentOptions = PLAIN,
) -> RecurrentBackbone:
    torch.manual_seed(1)
    return RecurrentBackbone(
        INPUTS, UNITS, cell=cell, num_layers=layers, bidirectional=bidirectional, dropout=dropout, options=options
    )


def trained(backbone: RecurrentBackbone) -> RecurrentBackbone:
    """As if: most biases start at zero, where a forgotten one would not be missed."""
    for name, parameter in backbone.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone


def batch(lengths: list[int], extra: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    return torch.randn(len(lengths), max(lengths) + extra, INPUTS, generator=generator), torch.tensor(lengths)


def torch_twin(backbone: RecurrentBackbone, cell: str) -> nn.RNNBase:
    twin = TORCH[cell](INPUTS, UNITS, len(backbone.layers), batch_first=True, bidirectional=backbone.directions == 2)
    for depth, layer in enumerate(backbone.layers):
        for one, suffix in zip(layer, ("", "_reverse"), strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{name}_l{depth}{suffix}").data.copy_(getattr(one, name).data)
    return twin


@pytest.mark.parametrize("start", ["zeros", "given"])
@pytest.mark.parametrize("layers, bidirectional", SHAPES)
@pytest.mark.parametrize("cell, kernel", [pair for pair in KERNELS if pair[0] in TORCH])
def test_equals_torch_with_packing(cell, kernel, layers, bidirectional, start):
    backbone = trained(make(cell, layers, bidirectional, options=options_for(cell, kernel)))
    twin = torch_twin(backbone, cell)
    x, lengths = batch([7, 1, 4, 5])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    state = hx = None
    if start == "given":
        state = tuple(tuple(map(torch.randn_like, parts)) for parts in backbone.initial_state(len(x)))
        parts = [torch.stack(part) for part in zip(*state, strict=True)]  # (N * D, B, H) each
        hx = tuple(parts) if cell == "lstm" else parts[0]
    encoded = backbone(ours, lengths, state)
    packed, final = twin(pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False), hx)
    sequence, _ = pad_packed_sequence(packed, batch_first=True)
    states = final if cell == "lstm" else (final,)
    torch.testing.assert_close(encoded.sequence, sequence, atol=1e-5, rtol=0)
    for part, state in enumerate(states):
        found = torch.stack([state_of_one[part] for state_of_one in encoded.state])
        torch.testing.assert_close(found, state, atol=1e-5, rtol=0)
    hidden = states[0].unflatten(0, (layers, -1)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(encoded.final, hidden, atol=1e-5, rtol=0)

    (encoded.sequence.square().sum() + sum(p.square().sum() for s in encoded.state for p in s)).backward()
    (sequence.square().sum() + sum(state.square().sum() for state in states)).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    for depth, layer in enumerate(backbone.layers):
        for one, suffix in zip(layer, ("", "_reverse"), strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                expected = getattr(twin, f"{name}_l{depth}{suffix}").grad
                torch.testing.assert_close(getattr(one, name).grad, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bf16", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("cell, kernel", KERNELS)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6), extra=st.integers(1, 5), data=st.data())
@settings(deadline=None, max_examples=20)
def test_padding_order_and_company_change_nothing(cell, kernel, bf16, lengths, extra, data):
    backbone = make(cell, 2, options=options_for(cell, kernel)).eval()
    x, n = batch(lengths)
    order = data.draw(st.permutations(range(len(lengths))))
    wide = torch.cat([x, torch.full((len(x), extra, INPUTS), float("nan"))], dim=1)
    tolerance = 2e-2 if bf16 else 1e-5
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        plain, padded, shuffled = backbone(x, n), backbone(wide, n), backbone(x[order], n[order])
        row = order[0]
        alone = backbone(x[row : row + 1, : lengths[row]], n[row : row + 1])

    def close(a, b):
        torch.testing.assert_close(a.float(), b.float(), atol=tolerance, rtol=0)

    close(padded.sequence[:, : x.shape[1]], plain.sequence)
    assert (padded.sequence[:, x.shape[1] :] == 0).all()
    close(shuffled.sequence, plain.sequence[order])
    close(alone.sequence[0], plain.sequence[row, : lengths[row]])
    for a, b, c, d in zip(plain.state, padded.state, shuffled.state, alone.state, strict=True):
        for whole, more, other, one in zip(a, b, c, d, strict=True):
            close(more, whole)
            close(other, whole[order])
            close(one[0], whole[row])


@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_garbage_in_padding_reaches_no_gradient(cell, kernel):
    backbone = make(cell, 2, options=options_for(cell, kernel))
    x, lengths = batch([5, 2, 3], extra=2)
    clean = x.clone().requires_grad_()
    x[1, 2:], x[2, 3:] = float("nan"), float("inf")
    dirty = x.requires_grad_()
    for inputs in (clean, dirty):
        encoded = backbone(inputs, lengths)
        (encoded.sequence.sum() + encoded.final.sum()).backward()
        assert all(p.grad.isfinite().all() for p in backbone.parameters())
    torch.testing.assert_close(clean.grad, dirty.grad)
    assert (dirty.grad[1, 2:] == 0).all()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_chunks_equal_the_whole(cell, kernel, layers):
    backbone = make(cell, layers, bidirectional=False, options=options_for(cell, kernel)).eval()
    x, lengths = batch([5, 8, 2])
    whole = backbone(x, lengths)
    state, parts, left = None, [], lengths
    for chunk in x.split(3, dim=1):
        encoded = backbone(chunk, left.clamp(max=chunk.shape[1]), state)
        state, left = encoded.state, (left - chunk.shape[1]).clamp(min=0)
        parts.append(encoded.sequence)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole.sequence, atol=1e-5, rtol=0)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_an_empty_row_keeps_its_state(cell, kernel):
    backbone = make(cell, bidirectional=False, options=options_for(cell, kernel))
    x, _ = batch([4, 4])
    start = backbone(x, torch.tensor([4, 4])).state
    after = backbone(x, torch.tensor([0, 3]), start).state
    for before, now in zip(start[0], after[0], strict=True):
        torch.testing.assert_close(now[0], before[0])
        assert not torch.equal(now[1], before[1])


@pytest.mark.parametrize("skip", ["none", "residual", "highway"])
@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_steps_equal_the_scan(cell, kernel, skip):
    options = replace(options_for(cell, kernel), skip=skip)
    backbone = make(cell, 2, bidirectional=False, options=options)
    x, lengths = batch([6, 6])
    whole = backbone(x, lengths)
    state = backbone.initial_state(2)
    for t in range(6):
        y, state = backbone.step(x[:, t], state)
        torch.testing.assert_close(y, whole.sequence[:, t], atol=1e-5, rtol=0)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [5, 1, 4, 2, 3]], ids=str)
@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_kernels_agree_in_values_and_gradients(cell, kernel, lengths):
    x, n = batch(lengths, extra=1)
    results = []
    for options in (options_for(cell, CELLS[cell].kernels[-1]), options_for(cell, kernel)):
        backbone = make(cell, 2, options=options)
        inputs = x.clone().requires_grad_()
        start = tuple(tuple(part + 0.1 for part in state) for state in backbone.initial_state(len(n)))
        encoded = backbone(inputs, n, start)
        (encoded.sequence.square().sum() + encoded.final.sum()).backward()
        results.append((encoded, inputs.grad, [p.grad for p in backbone.parameters()]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_inference_equals_training(cell, kernel):
    backbone = trained(make(cell, 2, options=options_for(cell, kernel)))
    x, lengths = batch([6, 1, 4])
    with torch.no_grad():
        inferred = backbone(x, lengths)
    torch.testing.assert_close(inferred, backbone(x, lengths))


def long_batch(units: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of several spans of steps, one direction or two, whose ends some rows reach."""
    ends = [span_length(directions, 300, 16, units) for directions in (1, 2)]
    assert ends[1] < ends[0] < 300
    lengths = torch.tensor([300, 299, 299 - ends[0], 300 - ends[1], ends[0], ends[1], 1, 0]).repeat(2)
    return torch.randn(16, 300, INPUTS), lengths


@pytest.mark.parametrize("bidirectional", [False, True])
def test_inference_of_a_long_gru_equals_training(bidirectional):
    backbone = trained(RecurrentBackbone(INPUTS, 64, cell="gru", bidirectional=bidirectional))
    x, lengths = long_batch(64)
    with torch.no_grad():
        inferred = backbone(x, lengths)
    torch.testing.assert_close(inferred, backbone(x, lengths), atol=1e-5, rtol=1e-4)


def test_gradients_of_a_long_gru_are_those_of_the_loop():
    x, lengths = long_batch(64)
    gradients = []
    for kernel in ("by_hand", "steps"):
        torch.manual_seed(0)
        backbone = trained(RecurrentBackbone(INPUTS, 64, cell="gru", options=RecurrentOptions(kernel=kernel)))
        backbone(x, lengths).sequence.square().mean().backward()
        gradients.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("skip", ["none", "residual", "highway"])
@pytest.mark.parametrize("cell, kernel", KERNELS)
def test_every_parameter_gets_a_gradient(cell, kernel, skip):
    backbone = make(cell, 2, options=replace(options_for(cell, kernel), skip=skip))
    backbone(*batch([3, 2])).sequence.square().sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not missing


@pytest.mark.parametrize("name", REGULARISERS)
@pytest.mark.parametrize("cell", CELLS)
def test_regularisers_act_in_training_alone(cell, name):
    if name not in CELLS[cell].honours | {"input_dropout"}:
        with pytest.raises(ZooError, match=f"the cell '{cell}' cannot honour {name}=0.5"):
            make(cell, options=RecurrentOptions(**{name: 0.5}))
        return
    x = batch([4, 3])
    plain = make(cell)(*x).sequence
    backbone = make(cell, options=RecurrentOptions(**{name: 0.5}))
    torch.testing.assert_close(backbone.eval()(*x).sequence, plain)
    assert not torch.allclose(backbone.train()(*x).sequence, plain)
    torch.testing.assert_close(make(cell, options=RecurrentOptions(**{name: 0.0})).train()(*x).sequence, plain)


def test_weight_drop_keeps_the_fused_kernel():
    assert make("lstm", options=RecurrentOptions(weight_drop=0.5)).layers[0][0].kernel == "fused"


def test_zoneout_keeps_some_units_and_moves_the_others():
    torch.manual_seed(0)
    cell = make("gru", bidirectional=False, options=RecurrentOptions(zoneout=0.5)).layers[0][0]
    h = torch.rand(50, UNITS)
    _, (after,) = cell.scan(torch.randn(50, 1, INPUTS), torch.ones(50, dtype=torch.long), (h,))
    assert 0.4 < (after == h).float().mean() < 0.6


def test_hidden_dropout_is_locked_to_a_row():
    # With an input of zeros and weights that copy, what a row loses stays lost at all its steps.
    cell = make("rnn", bidirectional=False, options=RecurrentOptions(hidden_dropout=0.5)).layers[0][0]
    cell.weight_hh.data.copy_(torch.eye(UNITS))
    outputs, _ = cell.scan(torch.zeros(9, 5, INPUTS), torch.full((9,), 5), (torch.full((9, UNITS), 0.01),))
    zero = outputs == 0
    assert 0 < zero.sum() < zero.numel()
    assert (zero == zero[:, :1]).all()


def test_dropout_acts_in_training_alone():
    backbone, x = make("lstm", 2, dropout=0.5), batch([4, 3])
    plain = make("lstm", 2)(*x).sequence
    assert torch.equal(backbone.eval()(*x).sequence, plain)
    assert not torch.allclose(backbone.train()(*x).sequence, plain)


@pytest.mark.parametrize("cell", CELLS)
def test_forget_bias_holds_on_to_the_past(cell):
    if "forget_bias" not in CELLS[cell].honours:
        with pytest.raises(ZooError, match="forget_bias"):
            make(cell, options=RecurrentOptions(forget_bias=2.0))
        return
    kept = []
    for bias in (-3.0, 3.0):
        backbone = make(cell, bidirectional=False, options=RecurrentOptions(forget_bias=bias))
        x = batch([5])[0].requires_grad_()
        (gradient,) = torch.autograd.grad(backbone(x, torch.tensor([5])).final.sum(), x)
        kept.append(gradient[0, 0].abs().sum())
    assert kept[1] > 2 * kept[0]


def test_sizes_of_a_projected_cell():
    backbone = make("projected_lstm", 2, options=RecurrentOptions(projection_size=4))
    encoded = backbone(*batch([3, 2]))
    assert encoded.sequence.shape == (2, 3, 8) and encoded.final.shape == (2, 2, 8)
    assert [part.shape[1] for part in encoded.state[0]] == [4, UNITS]


def test_unknown_names_and_empty_sizes_are_refused():
    with pytest.raises(ZooError, match="did you mean 'lstm'.*gru, layer_norm_lstm, lstm"):
        RecurrentBackbone(3, 4, cell="ltsm")
    with pytest.raises(ZooError, match="at least 1"):
        RecurrentBackbone(3, 0)
    with pytest.raises(ZooError, match="highway, none, residual"):
        make("lstm", 2, options=RecurrentOptions(skip="skip"))
    with pytest.raises(ZooError, match="num_layers=2"):
        make("lstm", 1, options=RecurrentOptions(skip="residual"))
    with pytest.raises(ZooError, match="kernel of the cell 'lstm'.*auto, fused, packed, steps"):
        make("lstm", options=RecurrentOptions(kernel="by_hand"))
    with pytest.raises(ZooError, match="current, previous"):
        make("peephole_lstm", options=RecurrentOptions(output_gate="last"))
    with pytest.raises(ZooError, match="zoneout probability"):
        RecurrentOptions(zoneout=1.0)
    with pytest.raises(ZooError, match="bidirectional=False"):
        backbone = make("lstm")
        backbone.step(torch.zeros(1, INPUTS), backbone.initial_state(1))
