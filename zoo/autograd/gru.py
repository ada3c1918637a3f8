"""The GRU over a padded batch, forward and backward: torch has no fused GRU for CPUs.

With pre-activations a of the input, b of the hidden state h:

    r = sigmoid(a_r + b_r),  z = sigmoid(a_z + b_z),  s = b_n,  n = tanh(a_n + r * s),  h' = n + z * (h - n).

Each operation writes its result in place. What does not depend on the previous step is computed for a span of steps at
once, short enough for the cache. Gates and states are in fp32 at least, whatever the type of the products.

Shapes: D directions, B rows, T time steps, S steps of a span, I inputs, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.autograd.first_derivative import Context, Gradients, first_derivative

# The pre-activations of a span are about this many numbers: more would leave the cache.
NUMBERS = 2**19
# A span has at least this many rows: with fewer, its products are slow.
ROWS = 1024
MINUS_ONE = torch.tensor(-1.0)
# The derivatives of tanh and sigmoid, in one operation each.
aten = torch.ops.aten


class GRUScan(torch.autograd.Function):
    """`gru_scan` with a gradient: outputs `(B, T, D * H)`, last states `(D, B, H)`, and what backward needs.

    It saves the gates, scores, candidates and states of all steps; all other buffers cover one span only. Backward is
    a loop of seven operations per step; the gradients of the weights are products over a whole span.
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
    def setup_context(ctx: Context, inputs: tuple[Tensor | None, ...], output: tuple[Tensor, ...]) -> None:
        x, _, weight_ih, _, weight_hh, _, start = inputs
        saved = output[2:]
        ctx.mark_non_differentiable(*saved)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight_ih, weight_hh, start, *saved)

    @staticmethod
    def backward(ctx: Context, grad: Tensor | None, grad_end: Tensor | None, *_: None) -> Gradients:
        needs_x = ctx.needs_input_grad[0]
        grad_x, *others = first_derivative(_backward, needs_x, grad, grad_end, *ctx.saved_tensors)
        return grad_x, None, *others


def _backward(
    needs_x: bool,
    grad: Tensor | None,
    grad_end: Tensor | None,
    x: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    start: Tensor,
    gates: Tensor,
    scores: Tensor,
    new: Tensor,
    states: Tensor,
) -> Gradients:
    """The gradients of x, weight_ih, bias_ih, weight_hh, bias_hh and start."""
    B, T, input_size = x.shape
    D, _, H = start.shape
    S = span_length(D, T, B, H)
    dtype = weight_hh.dtype
    weight_ih = weight_ih.to(x.dtype)
    # Its rows in the order of the gradients below: s, r, z.
    rolled_weight_hh = weight_hh.to(x.dtype).roll(H, 1)  # (D, 3H, H)
    grad = x.new_zeros(B, T, D, H) if grad is None else grad.unflatten(-1, (D, H))
    # The gradient of the state, carried from step to step.
    carried = torch.zeros_like(states[:, 0]) if grad_end is None else grad_end.to(states.dtype, copy=True)  # (D, B, H)
    grad_x = torch.zeros_like(x) if needs_x else None  # (B, T, I)
    grad_ih = states.new_zeros(D, input_size, 3 * H)  # transposed, of r, z, n
    grad_hh = states.new_zeros(D, H, 3 * H)  # transposed, of s, r, z
    grad_bias = states.new_zeros(D, 4 * H)  # of s, r, z, n
    grad_outputs = states.new_empty(D, S, B, H)
    # The gradients of the pre-activations s, r, z, n: of a span in the type of the products, and of one step in fp32.
    grad_gates = x.new_empty(D, S, B, 4 * H)
    step_grad = states.new_empty(D, B, 4 * H)
    step_s, step_r, step_z, step_n = step_grad.split(H, dim=-1)
    for span in reversed(_spans(T, S)):
        here = slice(span.stop - span.start)
        r, z = gates[:, span].chunk(2, dim=-1)
        n = new[:, span]
        span_grad = grad_gates[:, here]
        before = states[:, span.start - 1 : span.stop - 1] if span.start else _shifted(states[:, span], start)
        # Local derivatives: of h' with respect to the pre-activations of n and z, and of n to that of r.
        by_n = aten.tanh_backward(1 - z, n)
        by_z = aten.sigmoid_backward(before - n, z)
        by_r = aten.sigmoid_backward(scores[:, span], r)
        for d in range(D):
            grad_outputs[d, here] = _read(grad[:, :, d], span, d)
        per_step = (grad_outputs[:, here], by_n, by_z, by_r, r, z, span_grad, span_grad[..., : 3 * H])
        for grad_now, by_n_now, by_z_now, by_r_now, r_now, z_now, grad_out, grad_recurrent in zip(
            *(reversed(part.unbind(1)) for part in per_step), strict=True
        ):
            carried.add_(grad_now)
            torch.mul(carried, by_n_now, out=step_n)
            torch.mul(step_n, by_r_now, out=step_r)
            torch.mul(carried, by_z_now, out=step_z)
            torch.mul(step_n, r_now, out=step_s)
            grad_out.copy_(step_grad)
            _add_product(carried.mul_(z_now), grad_recurrent, rolled_weight_hh)
        span_grad = span_grad.flatten(1, 2)  # (D, S * B, 4H)
        grad_bias += span_grad.sum(1)
        inputs = torch.stack([_read(x, span, d) for d in range(D)]).flatten(1, 2)  # (D, S * B, I)
        _add_product(grad_ih, inputs.transpose(1, 2), span_grad[..., H:])
        _add_product(grad_hh, before.to(x.dtype).flatten(1, 2).transpose(1, 2), span_grad[..., : 3 * H])
        if grad_x is not None:
            grad_inputs = torch.bmm(span_grad[..., H:], weight_ih).unflatten(1, (-1, B))  # (D, S, B, I)
            for d in range(D):
                _steps(grad_x, span, d).add_(_flipped(grad_inputs[d], d))
    grad_bias_hh, grad_bias_ih = grad_bias.to(dtype).split([H, 3 * H], dim=-1)
    grad_ih = grad_ih.transpose(1, 2).to(dtype)
    grad_hh = grad_hh.roll(-H, 2).transpose(1, 2).to(dtype)
    return grad_x, grad_ih, grad_bias_ih, grad_hh, grad_bias_hh, carried.to(start.dtype)


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
    """The D directions of a layer. Products are in the type of x.

    No row is reversed: the second direction begins at the last step of the batch. At padding, `closing` sets the update
    gate z to 1, which keeps the state.

    Args:
        x: `(B, T, I)`.
        closing: `(B, T, 1)`, added to z's pre-activation: large at padding, 0 elsewhere; None where no row has padding.
        weight_ih: `(3H, I)` of each direction, for r, z and n.
        bias_ih: `(3H,)` of each direction: the input bias, plus the recurrent bias of r and z.
        weight_hh: `(D, 3H, H)`.
        bias_hh: `(D, H)`, of s.
        start: `(D, B, H)`.
        remember: whether the returned buffers have all steps, as backward needs, or only what the loop needs.

    Returns:
        The outputs `(B, T, D * H)`, undefined at padding; the last states `(D, B, H)`; and the buffers `(D, T, B, *)`
        of r and z, s, n and h', in the order in which each direction reads.
    """
    B, T, _ = x.shape
    D, _, H = start.shape
    dtype = x.dtype
    exact = torch.promote_types(dtype, torch.float32)
    S = span_length(D, T, B, H)
    inputs = x.new_empty(D, S, B, 3 * H)
    outputs = x.new_empty(B, T, D, H)
    h = start.to(exact)
    # Of one time step.
    recurrent = x.new_empty(D, B, 3 * H)
    recurrent_gates, recurrent_new = recurrent.split([2 * H, H], dim=-1)
    # How many steps the buffer of h' has, and how many the other buffers.
    state_steps = T if remember else S
    other_steps = T if remember else 1
    if remember or dtype != exact:
        gates = x.new_empty(D, other_steps, B, 2 * H, dtype=exact)
        scores = x.new_empty(D, other_steps, B, H, dtype=exact)
    else:
        gates = recurrent_gates[:, None]
        scores = recurrent_new[:, None]
    new = x.new_empty(D, other_steps, B, H, dtype=exact)
    states = x.new_empty(D, state_steps, B, H, dtype=exact)
    weight_ih = [weight.to(dtype) for weight in weight_ih]
    bias_ih = [bias.to(dtype) for bias in bias_ih]
    transposed = weight_hh.to(dtype).transpose(1, 2)  # (D, H, 3H)
    bias_s = bias_hh[:, None]  # (D, 1, H)

    # The views of all steps are made once: in the loop, they would take as long as the arithmetic of a small batch.
    input_gates, input_new = inputs.split([2 * H, H], dim=-1)
    input_steps = list(zip(input_gates.unbind(1), input_new.unbind(1), strict=True))
    buffers = (gates, *gates.chunk(2, dim=-1), scores, new, states)
    buffer_steps = list(zip(*(_views(buffer, state_steps) for buffer in buffers), strict=True))
    for span in _spans(T, S):
        here = slice(span.stop - span.start)
        there = span if remember else here
        for d in range(D):
            own = inputs[d, here]  # (S, B, 3H)
            torch.addmm(bias_ih[d], _read(x, span, d).flatten(0, 1), weight_ih[d].T, out=own.flatten(0, 1))
            if closing is not None:
                own[..., H : 2 * H].add_(_read(closing, span, d).to(dtype))
            # n is computed as the tanh of half of this.
            own[..., 2 * H :].mul_(2)
        for (in_gates, in_new), (rz, r, z, s, n, h_out) in zip(input_steps[here], buffer_steps[there], strict=True):
            torch.bmm(h.to(dtype), transposed, out=recurrent)
            torch.add(in_gates, recurrent_gates, out=rz).sigmoid_()
            torch.add(recurrent_new, bias_s, out=s)
            _tanh_of_half(torch.addcmul(in_new, r, s, value=2, out=n))
            h = torch.lerp(n, h, z, out=h_out)
        for d in range(D):
            _steps(outputs[:, :, d], span, d).copy_(_flipped(states[d, there], d))
    return outputs.flatten(2), h, (gates, scores, new, states)


def span_length(D: int, T: int, B: int, H: int) -> int:
    """S, how many steps are prepared together."""
    return min(T, max(NUMBERS // (3 * D * B * H), ROWS // B, 1))


def _spans(T: int, S: int) -> list[slice]:
    return [slice(begin, min(begin + S, T)) for begin in range(0, T, S)]


def _views(buffer: Tensor, steps: int) -> tuple[Tensor, ...]:
    """A view `(D, B, *)` for each of the steps. A buffer of one step is written again at each."""
    views = buffer.unbind(1)
    return views if len(views) == steps else views * steps


def _shifted(states: Tensor, start: Tensor) -> Tensor:
    """The states before the first S steps, from those after: `(D, S, B, H)` and `(D, B, H)` -> `(D, S, B, H)`."""
    return torch.cat([start.to(states.dtype)[:, None], states[:, :-1]], dim=1)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds `a @ b`, computed in their type, to `total` in place, which may be more precise."""
    if total.dtype == a.dtype:
        total.baddbmm_(a, b)
    else:
        total.add_(torch.bmm(a, b))


def _steps(rows: Tensor, span: slice, direction: int) -> Tensor:
    """What a direction reads in a span of its own steps, in the order of time: `(B, T, *)` -> `(S, B, *)`."""
    steps = rows.shape[1]
    times = slice(steps - span.stop, steps - span.start) if direction else span
    return rows[:, times].transpose(0, 1)


def _read(rows: Tensor, span: slice, direction: int) -> Tensor:
    """`_steps`, in the order in which the direction reads them."""
    return _flipped(_steps(rows, span, direction), direction)


def _flipped(steps: Tensor, direction: int) -> Tensor:
    return steps.flip(0) if direction else steps


def _tanh_of_half(x: Tensor) -> Tensor:
    """tanh(x / 2), in place: 2 sigmoid(x) - 1. On a CPU, torch's own tanh takes twice as long."""
    return torch.add(MINUS_ONE, x.sigmoid_(), alpha=2, out=x)
