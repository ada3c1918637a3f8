"""The GRU over a padded batch: torch has no fused GRU for CPUs.

Every step writes where its result belongs. What can be done for many steps at once is done for a span of them, short
enough for the cache. The pointwise part is in fp32 at least, whatever the precision of the products.

Shapes: D directions, B rows, T time steps, S steps of a span, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.autograd.first_derivative import first_derivative

# A span's pre-activations have about this many numbers: more would leave the cache.
NUMBERS = 2**19
# A span has at least this many rows: fewer make slow products.
ROWS = 1024
MINUS_ONE = torch.tensor(-1.0)
# The derivatives of tanh and sigmoid, one operation each.
aten = torch.ops.aten


class GRUScan(torch.autograd.Function):
    """`gru_scan` with gradients: outputs `(B, T, D * H)`, last states `(D, B, H)`, and what backward needs.

    It saves the gates, scores, candidates and states of all steps; all other buffers cover one span only. Backward is
    a loop of seven operations a step; the gradients of the weights are products over a whole span.
    """

    @staticmethod
    def forward(
        x: Tensor,
        closing: Tensor | None,
        weight_ih: Tensor,
        bias_ih: Tensor,
        weight_hh: Tensor,
        bias_hh: Tensor,
        start: Tensor,
    ) -> tuple[Tensor, ...]:
        outputs, end, saved = gru_scan(x, closing, weight_ih, bias_ih, weight_hh, bias_hh, start, remember=True)
        return outputs, end.clone(), *saved

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor | None, ...], output: tuple[Tensor, ...]) -> None:
        x, _, weight_ih, _, weight_hh, _, start = inputs
        saved = output[2:]
        ctx.mark_non_differentiable(*saved)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight_ih, weight_hh, start, *saved)

    @staticmethod
    def backward(ctx, grad: Tensor | None, to_end: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        to_x, *others = first_derivative(_to_inputs, ctx.needs_input_grad[0], grad, to_end, *ctx.saved_tensors)
        return to_x, None, *others


def _to_inputs(
    needs_x: bool,
    grad: Tensor | None,
    to_end: Tensor | None,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    start: Tensor,
    gates: Tensor,
    scores: Tensor,
    new: Tensor,
    states: Tensor,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, weight_ih, bias_ih, weight_hh, bias_hh and start."""
    (B, T, _), (D, _, H) = x.shape, start.shape
    S = span_length(D, T, B, H)
    dtype = weight_hh.dtype
    weight_ih = weight_ih.to(x.dtype)
    rolled = weight_hh.to(x.dtype).roll(H, 1)  # (D, 3H, H) in the order s, r, z
    grad = x.new_zeros(B, T, D, H) if grad is None else grad.unflatten(-1, (D, H))
    # How the loss changes with the state, from step to step: (D, B, H).
    carried = torch.zeros_like(states[:, 0]) if to_end is None else to_end.to(states.dtype, copy=True)
    to_x = torch.zeros_like(x) if needs_x else None  # (B, T, I)
    to_ih = states.new_zeros(D, x.shape[2], 3 * H)  # transposed
    to_hh = states.new_zeros(D, H, 3 * H)  # transposed
    to_bias = states.new_zeros(D, 4 * H)
    grads = states.new_empty(D, S, B, H)
    owed = x.new_empty(D, S, B, 4 * H)  # gradients of s, r, z, n, in the type of the products
    step = states.new_empty(D, B, 4 * H)  # those of one time step, not yet rounded
    to_s, to_r, to_z, to_n = step.split(H, dim=-1)
    for span in reversed(_spans(T, S)):
        here = slice(span.stop - span.start)
        r, z = gates[:, span].chunk(2, dim=-1)
        n, now = new[:, span], owed[:, here]
        before = states[:, span.start - 1 : span.stop - 1] if span.start else _shifted(states[:, span], start)
        # Local derivatives of h' with respect to the pre-activations of n and z, and of n to that of r.
        by_new = aten.tanh_backward(1 - z, n)
        by_z = aten.sigmoid_backward(before - n, z)
        by_r = aten.sigmoid_backward(scores[:, span], r)
        for d in range(D):
            grads[d, here] = _read(grad[:, :, d], span, d)
        steps = (grads[:, here], by_new, by_z, by_r, r, z, now, now[..., : 3 * H])
        for grad_now, of_new, of_z, of_r, reset, kept, to_all, to_recurrent in zip(
            *(reversed(part.unbind(1)) for part in steps), strict=True
        ):
            carried.add_(grad_now)
            torch.mul(carried, of_new, out=to_n)
            torch.mul(to_n, of_r, out=to_r)
            torch.mul(carried, of_z, out=to_z)
            torch.mul(to_n, reset, out=to_s)
            to_all.copy_(step)
            _add_product(carried.mul_(kept), to_recurrent, rolled)
        now = now.flatten(1, 2)  # (D, S * B, 4H)
        to_bias += now.sum(1)
        read = torch.stack([_read(x, span, d) for d in range(D)]).flatten(1, 2)  # (D, S * B, I)
        _add_product(to_ih, read.transpose(1, 2), now[..., H:])
        _add_product(to_hh, before.to(x.dtype).flatten(1, 2).transpose(1, 2), now[..., : 3 * H])
        if to_x is not None:
            to_read = torch.bmm(now[..., H:], weight_ih).unflatten(1, (-1, B))  # (D, S, B, I)
            for d in range(D):
                _steps(to_x, span, d).add_(_flipped(to_read[d], d))
    to_bias_hh, to_bias_ih = to_bias.to(dtype).split([H, 3 * H], dim=-1)
    to_ih = to_ih.transpose(1, 2).to(dtype)
    to_hh = to_hh.roll(-H, 2).transpose(1, 2).to(dtype)
    return to_x, to_ih, to_bias_ih, to_hh, to_bias_hh, carried.to(start.dtype)


def gru_scan(
    x: Tensor,
    closing: Tensor | None,
    weight_ih: Sequence[Tensor] | Tensor,
    bias_ih: Sequence[Tensor] | Tensor,
    weight_hh: Tensor,
    bias_hh: Tensor,
    start: Tensor,
    *,
    remember: bool = False,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The D directions of a layer, multiplied in the type of x.

    With gates r and z, and n = tanh(inputs_n + r * s), where s = weight_hh_n h + bias_hh: h' = n + z * (h - n). No row
    is reversed: the second direction begins at the last step of the batch, and where a row has padding its update gate
    is 1, which keeps its state.

    Args:
        x: `(B, T, I)`.
        closing: `(B, T, 1)`, what is added to z's pre-activation: large at padding, 0 elsewhere; None where no row has
            padding.
        weight_ih: `(3H, I)` of each direction, for r, z and n.
        bias_ih: `(3H,)` of each: the input bias, plus the recurrent bias of r and z.
        weight_hh: `(D, 3H, H)`.
        bias_hh: `(D, H)`, of s.
        start: `(D, B, H)`.
        remember: whether to keep r and z, s, n and h' of all steps, and not of as many as the loop needs.

    Returns:
        The outputs `(B, T, D * H)`, undefined at padding, the last states `(D, B, H)`, and what was kept,
        `(D, T, B, *)` each, in the order in which a direction reads.
    """
    (B, T, _), (D, _, H), dtype = x.shape, start.shape, x.dtype
    exact = torch.promote_types(dtype, torch.float32)
    S = span_length(D, T, B, H)
    inputs = x.new_empty(D, S, B, 3 * H)
    outputs = x.new_empty(B, T, D, H)
    h = start.to(exact)
    recurrent = x.new_empty(D, B, 3 * H)  # of one time step
    recurrent_gates, recurrent_new = recurrent.split([2 * H, H], dim=-1)
    # Time steps of h' and of the others that are kept.
    kept, made = (T, T) if remember else (S, 1)
    if remember or dtype != exact:
        gates = x.new_empty(D, made, B, 2 * H, dtype=exact)
        scores = x.new_empty(D, made, B, H, dtype=exact)
    else:
        gates, scores = recurrent_gates[:, None], recurrent_new[:, None]
    new = x.new_empty(D, made, B, H, dtype=exact)
    states = x.new_empty(D, kept, B, H, dtype=exact)
    weight_ih = [part.to(dtype) for part in weight_ih]
    bias_ih = [part.to(dtype) for part in bias_ih]
    transposed, addend = weight_hh.to(dtype).transpose(1, 2), bias_hh[:, None]
    # Views of all steps at once: made in the loop, they would cost as much as the arithmetic of a small batch.
    given = list(zip(*(part.unbind(1) for part in inputs.split([2 * H, H], dim=-1)), strict=True))
    parts = [part.unbind(1) for part in (gates, *gates.chunk(2, dim=-1), scores, new, states)]
    written = list(zip(*(part * (kept // len(part)) for part in parts), strict=True))
    for span in _spans(T, S):
        here = slice(span.stop - span.start)
        at = span if remember else here
        for d in range(D):
            own = inputs[d, here]  # (S, B, 3H)
            torch.addmm(bias_ih[d], _read(x, span, d).flatten(0, 1), weight_ih[d].T, out=own.flatten(0, 1))
            if closing is not None:
                own[..., H : 2 * H].add_(_read(closing, span, d).to(dtype))
            own[..., 2 * H :].mul_(2)  # n is the tanh of half of its pre-activation here
        for (in_gates, in_new), (rz, r, z, s, n, after) in zip(given[here], written[at], strict=True):
            torch.bmm(h.to(dtype), transposed, out=recurrent)
            torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
            torch.add(recurrent_new, addend, out=s)
            _tanh_of_half(torch.addcmul(in_new, r, s, value=2, out=n))
            h = torch.lerp(n, h, z, out=after)
        for d in range(D):
            _steps(outputs[:, :, d], span, d).copy_(_flipped(states[d, at], d))
    return outputs.flatten(2), h, (gates, scores, new, states)


def span_length(D: int, T: int, B: int, H: int) -> int:
    """S, the steps that are prepared together."""
    return min(T, max(NUMBERS // (3 * D * B * H), ROWS // B, 1))


def _spans(T: int, S: int) -> list[slice]:
    return [slice(begin, min(begin + S, T)) for begin in range(0, T, S)]


def _shifted(states: Tensor, start: Tensor) -> Tensor:
    # The states before the first steps (D, S, B, H), of which `states` are those after.
    return torch.cat([start.to(states.dtype)[:, None], states[:, :-1]], dim=1)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    # Adds a @ b, computed in their type, to `total`, in its own.
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:
        total.add_(torch.bmm(a, b))


def _steps(rows: Tensor, span: slice, direction: int) -> Tensor:
    # Of rows (B, T, *), the steps that a direction reads in a span of its own: (S, B, *), in the order of time.
    steps = rows.shape[1]
    times = slice(steps - span.stop, steps - span.start) if direction else span
    return rows[:, times].transpose(0, 1)


def _read(rows: Tensor, span: slice, direction: int) -> Tensor:
    # The same in the order in which the direction reads them.
    return _flipped(_steps(rows, span, direction), direction)


def _flipped(steps: Tensor, direction: int) -> Tensor:
    return steps.flip(0) if direction else steps


def _tanh_of_half(x: Tensor) -> Tensor:
    # tanh(x / 2), in place. On a CPU torch's own takes twice as long.
    return torch.add(MINUS_ONE, x.sigmoid_(), alpha=2, out=x)
