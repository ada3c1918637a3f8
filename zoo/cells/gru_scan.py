"""The GRU over a padded batch, forward and backward written by hand: torch has no fused GRU for CPUs.

Every step writes where its result belongs, and what can be done for many steps at once is done for a span of them,
short enough for the cache. The pointwise part is in fp32 at least, whatever the precision of the products.

Shapes: D directions, B rows, T time steps, S steps of a span, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import torch
from torch import Tensor

from zoo.cells.contract import SATURATION
from zoo.masks import padding_mask

# A span is so long that what its inputs say to the gates has about this many numbers, and at least this many rows: more
# numbers leave the cache, fewer rows make slow products.
NUMBERS, ROWS = 2**19, 1024
aten = torch.ops.aten
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
            _tanh_of_half(torch.addcmul(in_new, r, s, out=n).mul_(TWO))
            h = torch.lerp(n, h, z, out=after)
        ctx.save_for_backward(weight, start, gates, new, scores, states)
        ctx.dtype = inputs.dtype
        return states

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, start, gates, new, scores, states = ctx.saved_tensors
        D, T, B, H = states.shape
        before = torch.cat([start.to(states.dtype)[:, None], states[:, :-1]], dim=1)  # (D, T, B, H)
        owed = torch.empty(D, T, B, 4 * H, dtype=ctx.dtype, device=grad.device)  # s, r, z, n
        to_recurrent, to_inputs = owed[..., : 3 * H], owed[..., H:]
        rolled = weight.roll(H, 1)  # s, r, z
        carried = torch.zeros_like(start, dtype=states.dtype)  # (D, B, H)
        step = states.new_empty(D, B, 4 * H)  # of one time step, not yet rounded
        to_s, to_r, to_z, to_n = step.split(H, dim=-1)
        S = span_length(D, T, B, H)
        for begin in reversed(range(0, T, S)):
            span = (slice(None), slice(begin, begin + S))
            r, z = gates[span].chunk(2, dim=-1)
            n = new[span]
            # What h' owes to the inputs of r, z and n: known for all steps of the span before the loop.
            by_new = aten.tanh_backward(1 - z, n)
            by_z = aten.sigmoid_backward(before[span] - n, z)
            by_r = aten.sigmoid_backward(scores[span], r)  # of n's input
            steps = (grad[span], by_new, by_z, by_r, r, z, owed[span], to_recurrent[span])
            for grad_now, of_new, of_z, of_r, reset, kept, now, to_all in zip(
                *(reversed(part.unbind(1)) for part in steps), strict=True
            ):
                carried = carried.add_(grad_now)
                torch.mul(carried, of_new, out=to_n)
                torch.mul(to_n, of_r, out=to_r)
                torch.mul(carried, of_z, out=to_z)
                torch.mul(to_n, reset, out=to_s)
                now.copy_(step)
                carried.mul_(kept)
                if now.dtype == carried.dtype:
                    carried.baddbmm_(to_all, rolled)
                else:
                    carried.add_(torch.bmm(to_all, rolled))
        to_weight = before.to(ctx.dtype).flatten(1, 2).transpose(1, 2) @ to_recurrent.flatten(1, 2)  # (D, H, 3H)
        to_weight = to_weight.roll(-H, 2).transpose(1, 2)
        return to_inputs, to_weight, owed[..., :H].sum((1, 2)), carried.to(start.dtype)


def infer(
    x: Tensor,
    lengths: Tensor,
    projections: Sequence[tuple[Tensor, Tensor]],
    weight: Tensor,
    bias: Tensor,
    start: Tensor,
) -> tuple[Tensor, Tensor]:
    """The same for the D directions of a layer, remembering nothing.

    Nothing is as long as the sequence but what goes in and out. No row is reversed: the second direction begins at the
    last step of the batch, and where a row has padding its update gate is 1, which keeps its state.

    Args:
        x: `(B, T, I)`.
        lengths: `(B,)`.
        projections: of each direction, weight `(3H, I)` and bias `(3H,)`.
        weight: as above, of the type to multiply in.
        bias: as above.
        start: as above.

    Returns:
        The outputs `(B, T, D * H)`, undefined at padding, and the last states `(D, B, H)`.
    """
    D, B, H = start.shape
    T, dtype, complete = x.shape[1], weight.dtype, int(lengths.min())
    S = span_length(D, T, B, H)
    exact = torch.promote_types(dtype, torch.float32)
    inputs, states = x.new_empty(D, S, B, 3 * H, dtype=dtype), x.new_empty(D, S, B, H, dtype=exact)
    recurrent, outputs = x.new_empty(D, B, 3 * H, dtype=dtype), x.new_empty(B, T, D, H, dtype=dtype)
    recurrent_gates, s = recurrent.split([2 * H, H], dim=-1)
    rz = recurrent_gates if dtype == exact else x.new_empty(D, B, 2 * H, dtype=exact)
    (r, z), n = rz.chunk(2, dim=-1), x.new_empty(D, B, H, dtype=exact)
    transposed, addend, h = weight.transpose(1, 2), bias[:, None], start.to(exact)
    padding = ~padding_mask(lengths, T)  # (B, T)
    steps = [part.unbind(1) for part in (*inputs.split([2 * H, H], dim=-1), states)]
    for begin in range(0, T, S):
        end = min(begin + S, T)
        spans = [slice(begin, end), slice(T - end, T - begin)][:D]
        for d, (span, (weight_ih, bias_ih)) in enumerate(zip(spans, projections, strict=True)):
            read = _in_order(x[:, span].to(dtype), d).flatten(0, 1)  # (S * B, I)
            torch.addmm(bias_ih.to(dtype), read, weight_ih.to(dtype).T, out=inputs[d, : end - begin].flatten(0, 1))
            if span.stop > complete:
                closing = _in_order(padding[:, span], d)[..., None] * SATURATION  # (S, B, 1)
                inputs[d, : end - begin, :, H : 2 * H].add_(closing.to(dtype))
            inputs[d, : end - begin, :, 2 * H :].mul_(2)  # n is the tanh of half of what it is made of here
        for in_gates, in_new, after in islice(zip(*steps, strict=True), end - begin):
            torch.bmm(h.to(dtype), transposed, out=recurrent)
            torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
            n = _tanh_of_half(torch.addcmul(in_new, r, s.add_(addend), value=2, out=n))
            h = torch.lerp(n, h, z, out=after)
        for d, span in enumerate(spans):
            _in_order(outputs[:, span, d], 0).copy_(_flipped(states[d, : end - begin], d))
    return outputs.flatten(2), h


def span_length(D: int, T: int, B: int, H: int) -> int:
    """S, the steps that are prepared together."""
    return min(T, max(NUMBERS // (3 * D * B * H), ROWS // B, 1))


def _in_order(rows: Tensor, direction: int) -> Tensor:
    # A span of steps (B, S, *) as that direction goes through it: (S, B, *).
    return _flipped(rows.transpose(0, 1), direction)


def _flipped(steps: Tensor, direction: int) -> Tensor:
    return steps.flip(0) if direction else steps


def _tanh_of_half(x: Tensor) -> Tensor:
    # tanh(x / 2), in place. On a CPU torch's own takes twice as long.
    return torch.add(MINUS_ONE, x.sigmoid_(), alpha=2, out=x)
