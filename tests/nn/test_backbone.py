"""The backbone, over every cell and kernel: equal to torch, exact under padding, the same in chunks and in steps."""

from __future__ import annotations

import gc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recurrent import (
    EVERY_KERNEL,
    EVERY_PRECISION,
    EVERY_SHAPE,
    INPUTS,
    KERNELS,
    REGULARISERS,
    SHAPES,
    UNITS,
    batch,
    make,
    trained,
)
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.masks import padding_mask

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


def torch_twin(backbone: RecurrentBackbone, cell: str) -> nn.RNNBase:
    twin = TORCH[cell](INPUTS, UNITS, len(backbone.layers), batch_first=True, bidirectional=backbone.directions == 2)
    for depth, layer in enumerate(backbone.layers):
        for one, suffix in zip(layer, ("", "_reverse"), strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(twin, f"{name}_l{depth}{suffix}").data.copy_(getattr(one, name).data)
    return twin


@pytest.mark.parametrize("steps", [[7, 1, 4, 5], [3, 3]], ids=str)
@pytest.mark.parametrize("start", ["zeros", "given"])
@EVERY_SHAPE
@pytest.mark.parametrize("cell, kernel", [pair for pair in KERNELS if pair[0] in TORCH])
def test_equals_torch_with_packing(cell, kernel, layers, bidirectional, start, steps):
    backbone = trained(make(cell, layers, bidirectional, options=RecurrentOptions(kernel=kernel)))
    twin = torch_twin(backbone, cell)
    x, lengths = batch(steps)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    state = hx = None
    if start == "given":
        state = tuple(
            tuple(torch.randn_like(part).requires_grad_() for part in parts) for parts in backbone.initial_state(len(x))
        )
        parts = [torch.stack(part).detach().requires_grad_() for part in zip(*state, strict=True)]  # (N * D, B, H) each
        hx = tuple(parts) if cell == "lstm" else parts[0]
    encoded = backbone(ours, lengths, state)
    packed, final = twin(pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False), hx)
    sequence, _ = pad_packed_sequence(packed, batch_first=True)
    states = final if cell == "lstm" else (final,)
    torch.testing.assert_close(encoded.sequence, sequence, atol=1e-5, rtol=0)
    for part, end in enumerate(states):
        found = torch.stack([state_of_one[part] for state_of_one in encoded.state])
        torch.testing.assert_close(found, end, atol=1e-5, rtol=0)
    hidden = states[0].unflatten(0, (layers, -1)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(encoded.final, hidden, atol=1e-5, rtol=0)

    (encoded.sequence.square().sum() + sum(p.square().sum() for s in encoded.state for p in s)).backward()
    (sequence.square().sum() + sum(state.square().sum() for state in states)).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)
    if state is not None:
        for ours_of_part, their_part in zip(zip(*state, strict=True), parts, strict=True):
            found = torch.stack([part.grad for part in ours_of_part])
            torch.testing.assert_close(found, their_part.grad, atol=1e-5, rtol=0)
    for depth, layer in enumerate(backbone.layers):
        for one, suffix in zip(layer, ("", "_reverse"), strict=False):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                expected = getattr(twin, f"{name}_l{depth}{suffix}").grad
                torch.testing.assert_close(getattr(one, name).grad, expected, atol=1e-5, rtol=1e-6)


@EVERY_PRECISION
@EVERY_KERNEL
@given(
    shape=st.sampled_from(SHAPES),
    lengths=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    extra=st.integers(1, 5),
    data=st.data(),
)
@settings(deadline=None, max_examples=12)
def test_output_is_independent_of_padding_order_and_batch(cell, kernel, bf16, shape, lengths, extra, data):
    backbone = make(cell, *shape, options=RecurrentOptions(kernel=kernel)).eval()
    x, n = batch(lengths)
    order = data.draw(st.permutations(range(len(lengths))))
    wide = torch.cat([x, torch.full((len(x), extra, INPUTS), float("nan"))], dim=1)
    tolerance = 2e-2 if bf16 else 1e-5
    # Each layer amplifies the rounding errors of the layer below.
    if cell == "layer_norm_lstm" and len(backbone.layers) > 2 and not bf16:
        backbone, x, wide = backbone.double(), x.double(), wide.double()
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


@EVERY_PRECISION
@EVERY_SHAPE
@EVERY_KERNEL
def test_values_and_gradients_ignore_padding(cell, kernel, layers, bidirectional, bf16):
    backbone = make(cell, layers, bidirectional, options=RecurrentOptions(kernel=kernel))
    x, lengths = batch([5, 2, 3], extra=2)
    clean = x.clone().requires_grad_()
    x[1, 2:], x[2, 3:] = float("nan"), float("inf")
    dirty = x.requires_grad_()
    results = []
    for inputs in (clean, dirty):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            encoded = backbone(inputs, lengths)
        (encoded.sequence.float().square().sum() + encoded.final.float().sum()).backward()
        results.append((encoded, inputs.grad, [p.grad for p in backbone.parameters()]))
        backbone.zero_grad()
    # This also fails for NaN, which equals nothing.
    torch.testing.assert_close(*results)
    assert (dirty.grad[1, 2:] == 0).all() and clean.grad[:, 0].all()


@pytest.mark.parametrize("given, bf16", [(torch.float32, False), (torch.float32, True), (torch.bfloat16, True)])
@EVERY_KERNEL
def test_inputs_are_not_modified(cell, kernel, given, bf16):
    backbone = make(cell, options=RecurrentOptions(kernel=kernel)).eval()
    x, lengths = batch([5, 2, 3], extra=2)
    x = x.to(given)
    before = x.clone()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        backbone(x, lengths)
    assert x.equal(before)


@pytest.mark.parametrize("layers", [1, 2])
@EVERY_KERNEL
def test_chunks_equal_the_whole_sequence(cell, kernel, layers):
    backbone = make(cell, layers, bidirectional=False, options=RecurrentOptions(kernel=kernel)).eval()
    x, lengths = batch([5, 8, 2])
    x.requires_grad_()
    whole = backbone(x, lengths)
    state, parts, left = None, [], lengths
    for chunk in x.split(3, dim=1):
        encoded = backbone(chunk, left.clamp(max=chunk.shape[1]), state)
        state, left = encoded.state, (left - chunk.shape[1]).clamp(min=0)
        parts.append(encoded.sequence)
    sequence = torch.cat(parts, dim=1)
    torch.testing.assert_close(sequence, whole.sequence, atol=1e-5, rtol=0)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    trained = [x, *backbone.parameters()]
    gradients = [torch.autograd.grad(y.square().sum(), trained) for y in (sequence, whole.sequence)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


@EVERY_KERNEL
def test_an_empty_row_keeps_its_state(cell, kernel):
    backbone = make(cell, bidirectional=False, options=RecurrentOptions(kernel=kernel))
    x, _ = batch([4, 4])
    start = backbone(x, torch.tensor([4, 4])).state
    after = backbone(x, torch.tensor([0, 3]), start).state
    for before, now in zip(start[0], after[0], strict=True):
        torch.testing.assert_close(now[0], before[0])
        assert not torch.equal(now[1], before[1])


@pytest.mark.parametrize("skip", ["none", "residual", "highway"])
@EVERY_KERNEL
def test_steps_equal_the_scan_and_apply_no_dropout(cell, kernel, skip):
    backbone = make(cell, 2, bidirectional=False, options=RecurrentOptions(kernel=kernel, skip=skip))
    drops = {name: 0.5 for name in REGULARISERS if name in CELLS[cell].supported_options | {"input_dropout"}}
    dropping = make(cell, 2, bidirectional=False, dropout=0.5, options=RecurrentOptions(skip=skip, **drops))
    x, lengths = batch([6, 6])
    whole = backbone(x, lengths)
    state = backbone.initial_state(2)
    for t in range(6):
        torch.testing.assert_close(dropping.step(x[:, t], state), backbone.step(x[:, t], state))
        y, state = backbone.step(x[:, t], state)
        torch.testing.assert_close(y, whole.sequence[:, t], atol=1e-5, rtol=0)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@EVERY_KERNEL
def test_nan_in_the_gradient_of_padding_is_ignored(cell, kernel):
    """Where padding is 0 / 0 and its value is not used, its gradient is NaN."""
    backbone, (x, lengths) = make(cell, 2, options=RecurrentOptions(kernel=kernel)), batch([5, 2, 3])
    real = padding_mask(lengths, 5)

    def direction(y: torch.Tensor) -> torch.Tensor:
        return y / y.square().sum(-1, keepdim=True).sqrt()

    losses = (
        lambda y: torch.where(real[..., None], direction(y), 0.0)[..., 0].sum(),
        lambda y: direction(y[real])[..., 0].sum(),
    )
    results = [torch.autograd.grad(loss(backbone(x, lengths).sequence), [*backbone.parameters()]) for loss in losses]
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


@EVERY_KERNEL
def test_a_single_cell_ignores_padding(cell, kernel):
    (one,) = make(cell, bidirectional=False, options=RecurrentOptions(kernel=kernel)).cells
    (x, lengths), results = batch([2, 4, 0], extra=1), []
    for garbage in (0.0, 1e5, float("nan")):
        x = torch.where(torch.arange(5)[None, :, None] < lengths[:, None, None], x, garbage)
        outputs, end = one.scan(x, lengths, one.initial_state(3))
        loss = outputs[0, :2].sum() + outputs[1, :4].sum() + sum(part.sum() for part in end)
        results.append((outputs[0, :2], outputs[1, :4], *end, *torch.autograd.grad(loss, [*one.parameters()])))
    torch.testing.assert_close(results[1], results[0])
    torch.testing.assert_close(results[2], results[0])


@pytest.mark.parametrize("skip", ["none", "residual", "highway"])
@EVERY_KERNEL
def test_every_parameter_gets_a_gradient(cell, kernel, skip):
    backbone = make(cell, 2, options=RecurrentOptions(kernel=kernel, skip=skip))
    backbone(*batch([3, 2])).sequence.square().sum().backward()
    missing = [name for name, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not missing


@EVERY_KERNEL
def test_backward_can_run_twice_and_frees_the_graph(cell, kernel):
    def count_tensors() -> int:
        gc.collect()
        return sum(type(thing) is torch.Tensor and thing.numel() >= 2 * UNITS for thing in gc.get_objects())

    # The collector ignores all objects that were there before: looking through them would take a second.
    gc.freeze()
    try:
        backbone = make(cell, bidirectional=False, options=RecurrentOptions(kernel=kernel))
        loss = backbone(*batch([50, 40])).sequence.square().sum()
        loss.backward(retain_graph=True)
        once = [p.grad.clone() for p in backbone.parameters()]
        loss.backward()
        torch.testing.assert_close([p.grad for p in backbone.parameters()], [2 * grad for grad in once])
        with_the_graph = count_tensors()
        assert with_the_graph
        del loss
        assert count_tensors() == with_the_graph
    finally:
        gc.unfreeze()
