"""The GRU over a padded batch, forward and backward written by hand: torch has no fused GRU for CPUs.

The rows are gone through longest first, by the second direction each from its own end: those that a step reads stand in
front, and none is read that has ended. Every step writes where its result belongs, and what can be done for many steps
at once is done for a span of them, short enough for the cache. The pointwise part is in fp32 at least, whatever the
precision of the products.

Shapes: D directions, B rows, T time steps, N real steps of all rows in turn, n of these in a span or a step, I inputs,
H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from zoo.masks import padding_mask

# A span is so long that what its inputs say to the gates has about this many numbers, and at least this many rows: more
# numbers leave the cache, fewer rows make slow products.
NUMBERS, ROWS = 2**19, 1024
TWO, MINUS_ONE = torch.tensor(2.0), torch.tensor(-1.0)


def gru_scan(
    x: Tensor, lengths: Tensor, start: Tensor, weight_ih: Tensor, bias_ih: Tensor, weight_hh: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor]:
    """A layer of D GRUs. Products are in the type of `x`, or that of the autocast in force.

    With gates r, z and n = tanh(inputs_n + r * s), where s = weight_n h + bias: h' = n + z * (h - n).

    Args:
        x: `(B, T, I)`.
        lengths: `(B,)`.
        start: `(D, B, H)`.
        weight_ih: `(D, 3H, I)`, for r, z and n.
        bias_ih: `(D, 3H)`.
        weight_hh: `(D, 3H, H)`.
        bias: `(D, H)`.

    Returns:
        The outputs `(B, T, D * H)`, zeros at padding, and the last states `(D, B, H)`.
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    turns = Turns.of(lengths, x.shape[1], D=start.shape[0], H=start.shape[2])
    if torch.is_grad_enabled():
        return GRUScan.apply(turns, dtype, x, start, weight_ih, bias_ih, weight_hh, bias)
    return _forward(turns, dtype, (), x, start, weight_ih, bias_ih, weight_hh, bias)


class Turns(NamedTuple):
    """How D directions go through a padded batch."""

    order: Tensor  # (B,) the rows, longest first
    places: Tensor  # (D, N) where in the flat batch, row * T + step, the steps are that they take in turn
    counts: list[int]  # how many rows each step reads, none of them 0
    spans: list[tuple[slice, list[int]]]  # what is prepared together: which of N, and the counts of its steps

    @classmethod
    def of(cls, lengths: Tensor, T: int, D: int, H: int) -> Turns:
        """Those of rows of `lengths (B,)`."""
        order = lengths.argsort(descending=True)
        real = padding_mask(lengths, T)[order].T  # (T, B)
        first, steps = order * T, torch.arange(T)[:, None]  # (B,), (T, 1)
        places = [(first + steps)[real], (first + lengths[order] - 1 - steps)[real]]
        counts = [rows for rows in real.sum(1).tolist() if rows]
        return cls(order, torch.stack(places[:D]), counts, list(_spans(counts, max(NUMBERS // (3 * D * H), ROWS))))


def _spans(counts: Sequence[int], most: int) -> Iterator[tuple[slice, list[int]]]:
    begin, end, span = 0, 0, []
    for rows in counts:
        if span and end + rows > begin + most:
            yield slice(begin, end), span
            begin, span = end, []
        end += rows
        span.append(rows)
    if span:
        yield slice(begin, end), span


class GRUScan(torch.autograd.Function):
    """`gru_scan` for training."""

    @staticmethod
    def forward(ctx, turns: Turns, dtype: torch.dtype, x: Tensor, start: Tensor, *weights: Tensor):
        (D, N), H = turns.places.shape, start.shape[2]
        history = [start.new_empty(D, N, size * H, dtype=_exact(dtype)) for size in (1, 2, 1, 1)]
        weight_ih, _, weight_hh, _ = weights
        ctx.save_for_backward(x, start, weight_ih, weight_hh, *history)
        ctx.turns, ctx.dtype = turns, dtype
        return _forward(turns, dtype, history, x, start, *weights)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, grad_ends: Tensor):
        x, start, weight_ih, weight_hh, states, gates, scores, new = ctx.saved_tensors
        (order, places, counts, spans), dtype, exact = ctx.turns, ctx.dtype, states.dtype
        D, _, H = start.shape
        weight_ih, weight_hh, flat, grad = (
            weight_ih.to(dtype),
            weight_hh.to(dtype),
            x.flatten(0, 1),
            grad.view(-1, D, H),
        )
        to_x = flat.new_zeros(flat.shape, dtype=dtype)
        to_weight_ih, to_weight_hh = (torch.zeros_like(weight, dtype=exact) for weight in (weight_ih, weight_hh))
        to_bias_ih, to_bias = (start.new_zeros(D, size * H, dtype=exact) for size in (3, 1))
        carried = grad_ends[:, order].to(exact)  # (D, B, H), to the state after a step
        rows = torch.tensor(counts)
        earlier = (torch.arange(places.shape[1]) - rows.roll(1).repeat_interleave(rows)).clamp(min=0)  # (N,)
        for here, span in reversed(spans):
            (r, z), n = gates[:, here].chunk(2, dim=-1), new[:, here]
            before = states.index_select(1, earlier[here])  # (D, n, H)
            if here.start == 0:
                before[:, : span[0]] = start[:, order[: span[0]]]
            # What h' owes to the inputs of r, z and n: known for all steps of the span before the loop.
            by_new = n.square().neg_().add_(1).mul_(1 - z)
            by_z = (before - n).mul_(z).mul_(1 - z)
            by_r = (1 - r).mul_(r).mul_(scores[:, here])  # of n's input
            received = torch.stack([grad[:, d].index_select(0, places[d, here]) for d in range(D)])  # (D, n, H)
            to_recurrent = received.new_empty(D, received.shape[1], 3 * H, dtype=dtype)  # r, z, s
            to_inputs = torch.empty_like(to_recurrent)  # r, z, n
            parts = (received, by_new, by_z, by_r, r, z)
            parts += (to_recurrent, *to_recurrent.split(H, dim=-1), to_inputs[..., 2 * H :])
            steps = zip(*(reversed(part.split(span, dim=1)) for part in parts), strict=True)
            for size, alike in groupby(reversed(span)):
                now = carried[:, :size]
                for grad_now, of_new, of_z, of_r, reset, kept, to_all, to_r, to_z, to_s, to_n in islice(
                    steps, len(list(alike))
                ):
                    to_new = now.add_(grad_now) * of_new
                    torch.mul(to_new, of_r, out=to_r)
                    torch.mul(now, of_z, out=to_z)
                    torch.mul(to_new, reset, out=to_s)
                    to_n.copy_(to_new)
                    now.mul_(kept).add_(torch.bmm(to_all, weight_hh))
            to_inputs[..., : 2 * H] = to_recurrent[..., : 2 * H]
            to_weight_hh += to_recurrent.mT @ before.to(dtype)
            to_bias += to_recurrent[..., 2 * H :].sum(1)
            to_bias_ih += to_inputs.sum(1)
            for d in range(D):
                where = places[d, here]
                to_weight_ih[d] += to_inputs[d].T @ flat.index_select(0, where).to(dtype)
                to_x.index_copy_(0, where, torch.addmm(to_x.index_select(0, where), to_inputs[d], weight_ih[d]))
        to_start = torch.empty_like(carried).index_copy_(1, order, carried)
        return None, None, to_x.view_as(x), to_start, to_weight_ih, to_bias_ih, to_weight_hh, to_bias


def _forward(
    turns: Turns,
    dtype: torch.dtype,
    history: Sequence[Tensor],
    x: Tensor,
    start: Tensor,
    weight_ih: Tensor,
    bias_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor,
) -> tuple[Tensor, Tensor]:
    # Fills in the history, if there is one: h', r and z, s, n of all steps, (D, N, *).
    (D, B, H), (order, places, _, spans) = start.shape, turns
    weight_ih, bias_ih, weight_hh, bias = (
        weight_ih.to(dtype).mT,
        bias_ih.to(dtype),
        weight_hh.to(dtype).mT,
        bias[:, None],
    )
    longest = max((sum(span) for _, span in spans), default=0)
    inputs, states = x.new_empty(D, longest, 3 * H, dtype=dtype), x.new_empty(D, longest, H, dtype=_exact(dtype))
    flat, outputs = x.flatten(0, 1), x.new_zeros(B * x.shape[1], D, H, dtype=dtype)
    h = start[:, order].to(states.dtype)
    ends = h.clone()
    for here, span in spans:
        for d in range(D):
            read = flat.index_select(0, places[d, here]).to(dtype)  # (n, I)
            torch.addmm(bias_ih[d], read, weight_ih[d], out=inputs[d, : len(read)])
        parts = list(inputs[:, : len(read)].split([2 * H, H], dim=-1))
        if history:
            after, gates, scores, new = (part[:, here] for part in history)
            parts += [after, gates, *gates.chunk(2, dim=-1), scores, new]
        else:
            after = states[:, : len(read)]
            parts += [after]
        # Views of all steps at once: cut in the loop, they would cost as much as the arithmetic of a small batch.
        steps = zip(*(part.split(span, dim=1) for part in parts), strict=True)
        for rows, alike in groupby(span):
            ends[:, rows : h.shape[1]] = h[:, rows:]
            h = h[:, :rows]
            recurrent = inputs.new_empty(D, rows, 3 * H)
            recurrent_gates, recurrent_new = recurrent.split([2 * H, H], dim=-1)
            scratch = _scratch(h)
            for in_gates, in_new, h_after, *written in islice(steps, len(list(alike))):
                rz, r, z, s, n = written or scratch
                torch.bmm(h.to(dtype), weight_hh, out=recurrent)
                torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
                torch.add(recurrent_new, bias, out=s)
                _tanh(torch.mul(r, s, out=n).add_(in_new))
                h = torch.lerp(n, h, z, out=h_after)
        for d in range(D):
            outputs[:, d].index_copy_(0, places[d, here], after[d].to(dtype))
    ends[:, : h.shape[1]] = h
    return outputs.view(B, -1, D * H), torch.empty_like(ends).index_copy_(1, order, ends)


def _scratch(h: Tensor) -> list[Tensor]:
    # What a step writes to where nothing is remembered: r and z together and apart, s, n.
    gates = h.new_empty(*h.shape[:2], 2 * h.shape[2])
    return [gates, *gates.chunk(2, dim=-1), torch.empty_like(h), torch.empty_like(h)]


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _tanh(x: Tensor) -> Tensor:
    # In place. On a CPU torch's own takes twice as long.
    x.mul_(TWO).sigmoid_()
    return torch.add(MINUS_ONE, x, alpha=2, out=x)
