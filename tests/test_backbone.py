"""The backbone, over every cell: exact under padding, equal to torch, the same in chunks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo import CELLS, RecurrentBackbone
from zoo.errors import ZooError

INPUTS, UNITS = 5, 6
TORCH = {"lstm": nn.LSTM, "gru": nn.GRU}
SHAPES = [(1, False), (1, True), (2, False), (3, True)]


def make(cell: str, layers: int = 1, bidirectional: bool = True, dropout: float = 0.0) -> RecurrentBackbone:
    torch.manual_seed(1)
    return RecurrentBackbone(INPUTS, UNITS, cell=cell, num_layers=layers, bidirectional=bidirectional, dropout=dropout)


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


@pytest.mark.parametrize("layers, bidirectional", SHAPES)
@pytest.mark.parametrize("cell", TORCH)
def test_equals_torch_with_packing(cell, layers, bidirectional):
    backbone = make(cell, layers, bidirectional)
    twin = torch_twin(backbone, cell)
    x, lengths = batch([7, 1, 4, 5])
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    encoded = backbone(ours, lengths)
    packed, final = twin(pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False))
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
@pytest.mark.parametrize("cell", CELLS)
@given(lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6), extra=st.integers(1, 5), data=st.data())
@settings(deadline=None, max_examples=20)
def test_padding_order_and_company_change_nothing(cell, bf16, lengths, extra, data):
    backbone = make(cell, 2).eval()
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


@pytest.mark.parametrize("cell", CELLS)
def test_garbage_in_padding_reaches_no_gradient(cell):
    backbone = make(cell, 2)
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
@pytest.mark.parametrize("cell", CELLS)
def test_chunks_equal_the_whole(cell, layers):
    backbone = make(cell, layers, bidirectional=False).eval()
    x, lengths = batch([8, 8, 8])
    whole = backbone(x, lengths)
    state, parts = None, []
    for chunk in x.split(3, dim=1):
        encoded = backbone(chunk, torch.full((3,), chunk.shape[1]), state)
        state = encoded.state
        parts.append(encoded.sequence)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole.sequence, atol=1e-5, rtol=0)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_row_keeps_its_state(cell):
    backbone = make(cell, bidirectional=False)
    x, _ = batch([4, 4])
    start = backbone(x, torch.tensor([4, 4])).state
    after = backbone(x, torch.tensor([0, 3]), start).state
    for before, now in zip(start[0], after[0], strict=True):
        torch.testing.assert_close(now[0], before[0])
        assert not torch.equal(now[1], before[1])


@pytest.mark.parametrize("cell", CELLS)
def test_steps_equal_the_scan(cell):
    one = make(cell).layers[0][0]
    x, lengths = batch([6, 6])
    scanned, final = one.scan(x, lengths, one.initial_state(2))
    state = one.initial_state(2)
    for t in range(6):
        h, state = one.step(x[:, t], state)
        torch.testing.assert_close(h, scanned[:, t], atol=1e-5, rtol=0)
    torch.testing.assert_close(state, final, atol=1e-5, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_gets_a_gradient(cell):
    backbone = make(cell, 2)
    backbone(*batch([3, 2])).sequence.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


def test_dropout_acts_in_training_alone():
    backbone, x = make("lstm", 2, dropout=0.5), batch([4, 3])
    plain = make("lstm", 2)(*x).sequence
    assert torch.equal(backbone.eval()(*x).sequence, plain)
    assert not torch.allclose(backbone.train()(*x).sequence, plain)


def test_unknown_cells_and_empty_sizes_are_refused():
    with pytest.raises(ZooError, match="did you mean 'lstm'.*gru, layer_norm_lstm, lstm"):
        RecurrentBackbone(3, 4, cell="ltsm")
    with pytest.raises(ZooError, match="at least 1"):
        RecurrentBackbone(3, 0)
