"""The GRU over a padded batch, forward and backward written by hand: torch has no fused GRU for CPUs.

Every step writes where its result belongs, and what can be done for many steps at once is done for a span of them,
short enough for the cache. The pointwise part is in fp32 at least, whatever the precision of the products.

Shapes: D directions, B rows, T time steps, S steps of a span, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

import torch
from torch import Tensor

from zoo.masks import padding_mask

# A span is so long that what its inputs say to the gates has about this many numbers, and at least this many rows: more
# numbers leave the cache, fewer rows make slow products.
NUMBERS, ROWS = 2**19, 1024
TWO, MINUS_ONE = torch.tensor(2.0), torch.tensor(-1.0)


class GRUScan(torch.autograd.Function):
    """All hidden states of a GRU: inputs `(D, T, B, 3H)`, weight `(D, 3H, H)`, bias `(D, H)`, start `(D, B, H)`.

    With gates r, z and n = tanh(inputs_n + r * s), where s = weight_n h + bias: h' = n + z * (h - n), `(D, T, B, H)`.
    """

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
        D, T, B, H = *inputs.shape[:3], start.shape[-1]
        exact = torch.promote_types(inputs.dtype, torch.float32)
        gates = inputs.new_empty(D, T, B, 2 * H, dtype=exact)  # r, z
        new, scores, states = (inputs.new_empty(D, T, B, H, dtype=exact) for _ in range(3))  # n, s, h'
        recurrent, transposed = inputs.new_empty(D, B, 3 * H), weight.transpose(1, 2)
        recurrent_gates, recurrent_new = recurrent.split([2 * H, H], dim=-1)
        addend = bias[:, None]
        steps = (*inputs.split([2 * H, H], dim=-1), gates, *gates.chunk(2, dim=-1), scores, new, states)
        h = start.to(exact)
        # Views of all steps at once: cut in the loop, they would cost as much as the arithmetic of a small batch.
        for in_gates, in_new, rz, r, z, s, n, after in zip(*(part.unbind(1) for part in steps), strict=True):
            torch.bmm(h.to(inputs.dtype), transposed, out=recurrent)
            torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
            torch.add(recurrent_new, addend, out=s)
            _tanh(torch.mul(r, s, out=n).add_(in_new))
            h = torch.lerp(n, h, z, out=after)
        ctx.save_for_backward(weight, start, gates, new, scores, states)
        ctx.dtype = inputs.dtype
        return states

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, start, gates, new, scores, states = ctx.saved_tensors
        D, T, B, H = states.shape
        before = torch.cat([start.to(states.dtype)[:, None], states[:, :-1]], dim=1)  # (D, T, B, H)
        to_inputs = torch.empty(D, T, B, 3 * H, dtype=ctx.dtype, device=grad.device)  # r, z, n
        to_recurrent = torch.empty_like(to_inputs)  # r, z, s
        carried = torch.zeros_like(start, dtype=states.dtype)  # (D, B, H)
        S = span_length(D, T, B, H)
        for begin in reversed(range(0, T, S)):
            span = (slice(None), slice(begin, begin + S))
            r, z = gates[span].chunk(2, dim=-1)
            n = new[span]
            # What h' owes to the inputs of r, z and n: known for all steps of the span before the loop.
            by_new = n.square().neg_().add_(1).mul_(1 - z)
            by_z = (before[span] - n).mul_(z).mul_(1 - z)
            by_r = (1 - r).mul_(r).mul_(scores[span])  # of n's input
            recurrent, inputs = to_recurrent[span], to_inputs[span]
            steps = (grad[span], by_new, by_z, by_r, r, z, recurrent, *recurrent.split(H, dim=-1), inputs[..., 2 * H :])
            for grad_now, of_new, of_z, of_r, reset, kept, to_all, to_r, to_z, to_s, to_n in zip(
                *(reversed(part.unbind(1)) for part in steps), strict=True
            ):
                carried = carried.add_(grad_now)
                to_new = carried * of_new
                torch.mul(to_new, of_r, out=to_r)
                torch.mul(carried, of_z, out=to_z)
                torch.mul(to_new, reset, out=to_s)
                to_n.copy_(to_new)
                carried = carried.mul_(kept).add_(torch.bmm(to_all, weight))
            inputs[..., : 2 * H] = recurrent[..., : 2 * H]
        flat = to_recurrent.flatten(1, 2)  # (D, T * B, 3H)
        to_weight = flat.transpose(1, 2) @ before.to(ctx.dtype).flatten(1, 2)
        return to_inputs, to_weight, flat[..., 2 * H :].sum(1), carried.to(start.dtype)


def infer(
    x: Tensor,
    lengths: Tensor,
    projections: Sequence[tuple[Tensor, Tensor]],
    weight: Tensor,
    bias: Tensor,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """The same for the D directions of a layer, remembering nothing; no step reads a row that has ended.

    The rows are gone through longest first, by the second direction each from its own end: those that a step reads
    stand in front. Nothing is as long as the sequence but what goes in and out.

    Args:
        x: `(B, T, I)`.
        lengths: `(B,)`.
        projections: of each direction, weight `(3H, I)` and bias `(3H,)`.
        weight: as above, of the type to multiply in.
        bias: as above.
        start: as above.

    Returns:
        The outputs `(B, T, D * H)`, zeros at padding, and the last states `(D, B, H)`.
    """
    (D, B, H), T, dtype = start.shape, x.shape[1], weight.dtype
    order = lengths.argsort(descending=True)
    places, counts = _in_turn(lengths, order, T, D)
    most = max(NUMBERS // (3 * D * H), ROWS, B)
    flat, transposed = x.flatten(0, 1), weight.transpose(1, 2)
    inputs = x.new_empty(D, min(most, places.shape[1]), 3 * H, dtype=dtype)
    states = x.new_empty(*inputs.shape[:2], H, dtype=torch.promote_types(dtype, torch.float32))
    outputs = x.new_zeros(B * T, D, H, dtype=dtype)
    h = start[:, order].to(states.dtype)
    ends = h.clone()
    for begin, span in _spans(counts, most):
        here = places[:, begin : begin + sum(span)]  # (D, n)
        n = here.shape[1]
        for d, (weight_ih, bias_ih) in enumerate(projections):
            read = flat.index_select(0, here[d]).to(dtype)  # (n, I)
            torch.addmm(bias_ih.to(dtype), read, weight_ih.to(dtype).T, out=inputs[d, :n])
        parts = *inputs[:, :n].split([2 * H, H], dim=-1), states[:, :n]
        steps = zip(*(part.split(span, dim=1) for part in parts), strict=True)
        for rows, alike in groupby(span):
            ends[:, rows : h.shape[1]] = h[:, rows:]
            h = _go(h[:, :rows], transposed, bias[:, None], islice(steps, len(list(alike))))
        for d in range(D):
            outputs[:, d].index_copy_(0, here[d], states[d, :n].to(dtype))
    ends[:, : h.shape[1]] = h
    return outputs.view(B, T, D * H), ends[:, order.argsort()]


def _go(h: Tensor, weight: Tensor, bias: Tensor, steps: Iterable[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    # Some steps of n rows, from h (D, n, H). Of each: what its inputs say to r and z, to n, and where h' belongs.
    (D, rows, H), dtype = h.shape, weight.dtype
    recurrent = weight.new_empty(D, rows, 3 * H)
    rz, n = h.new_empty(D, rows, 2 * H), h.new_empty(D, rows, H)
    (recurrent_gates, s), (r, z) = recurrent.split([2 * H, H], dim=-1), rz.chunk(2, dim=-1)
    for in_gates, in_new, after in steps:
        torch.bmm(h.to(dtype), weight, out=recurrent)
        torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
        _tanh(torch.mul(r, s.add_(bias), out=n).add_(in_new))
        h = torch.lerp(n, h, z, out=after)
    return h


def _in_turn(lengths: Tensor, order: Tensor, T: int, D: int) -> tuple[Tensor, list[int]]:
    # Where in the flat batch the real steps of D directions are, in turn (D, N), and the rows of each step.
    real = padding_mask(lengths, T)[order].T  # (T, B)
    steps = torch.arange(T)[:, None]  # (T, 1)
    first = order * T  # (B,)
    places = [(first + steps)[real], (first + lengths[order] - 1 - steps)[real]]
    return torch.stack(places[:D]), [rows for rows in real.sum(1).tolist() if rows]


def _spans(counts: Sequence[int], most: int) -> Iterator[tuple[int, list[int]]]:
    # Steps of no more than `most` rows together: where they begin, and the rows of each.
    begin, span = 0, []
    for rows in counts:
        if sum(span) + rows > most:
            yield begin, span
            begin, span = begin + sum(span), []
        span.append(rows)
    if span:
        yield begin, span


def span_length(D: int, T: int, B: int, H: int) -> int:
    """S, the steps that are prepared together."""
    return min(T, max(NUMBERS // (3 * D * B * H), ROWS // B, 1))


def _tanh(x: Tensor) -> Tensor:
    # In place. On a CPU torch's own takes twice as long.
    x.mul_(TWO).sigmoid_()
    return torch.add(MINUS_ONE, x, alpha=2, out=x)
