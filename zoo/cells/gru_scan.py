"""The GRU over a padded batch, forward and backward written by hand: torch has no fused GRU for CPUs.

Every step writes where its result belongs, nothing is allocated twice, and what the backward pass needs of all steps at
once is one operation. The pointwise part is in fp32 at least, whatever the precision of the products.

Shapes: D directions, B rows, T time steps, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor


class GRUScan(torch.autograd.Function):
    """All hidden states of a GRU: inputs `(D, T, B, 3H)`, weight `(D, 3H, H)`, bias `(D, 3H)`, start `(D, B, H)`.

    With gates r, z and n = tanh(inputs_n + r * s), where s = weight_n h + bias_n: h' = n + z * (h - n), `(D, T, B, H)`.
    """

    @staticmethod
    def forward(ctx, inputs: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
        D, T, B, H = *inputs.shape[:3], start.shape[-1]
        exact = torch.promote_types(inputs.dtype, torch.float32)
        kept = T if any(ctx.needs_input_grad) else 1  # steps whose gates are remembered
        gates = inputs.new_empty(D, kept, B, 2 * H, dtype=exact)  # r, z
        new, scores = (inputs.new_empty(D, kept, B, H, dtype=exact) for _ in range(2))  # n, s
        states = inputs.new_empty(D, T, B, H, dtype=exact)
        recurrent = inputs.new_empty(D, B, 3 * H)
        addend, transposed = bias[:, None].expand_as(recurrent).contiguous(), weight.transpose(1, 2)
        h = start.to(exact)
        for t in range(T):
            now, k = inputs[:, t], t % kept
            torch.baddbmm(addend, h.to(inputs.dtype), transposed, out=recurrent)
            torch.add(now[..., : 2 * H], recurrent[..., : 2 * H], out=gates[:, k]).sigmoid_()
            scores[:, k] = recurrent[..., 2 * H :]
            torch.addcmul(now[..., 2 * H :].to(exact), gates[:, k, :, :H], scores[:, k], out=new[:, k]).tanh_()
            h = torch.lerp(new[:, k], h, gates[:, k, :, H:], out=states[:, t])
        ctx.save_for_backward(weight, start, gates, new, scores, states)
        ctx.dtype = inputs.dtype
        return states

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        weight, start, gates, new, scores, states = ctx.saved_tensors
        D, T, B, H = states.shape
        before = torch.cat([start.to(states.dtype)[:, None], states[:, :-1]], dim=1)  # (D, T, B, H)
        r, z = gates.split(H, dim=-1)
        # What each gate's input changes in h', and s in n's input: known for all steps before the loop.
        by_new = (1 - z) * (1 - new * new)
        by_z = (before - new) * z * (1 - z)
        by_r = scores * r * (1 - r)  # of n's input
        to_inputs = torch.empty(D, T, B, 3 * H, dtype=ctx.dtype, device=grad.device)  # r, z, n
        to_recurrent = torch.empty_like(to_inputs)  # r, z, s
        carried = torch.zeros_like(start, dtype=states.dtype)  # (D, B, H)
        for t in range(T - 1, -1, -1):
            carried = carried + grad[:, t]
            to_new = carried * by_new[:, t]
            torch.mul(to_new, by_r[:, t], out=to_recurrent[:, t, :, :H])
            torch.mul(carried, by_z[:, t], out=to_recurrent[:, t, :, H : 2 * H])
            torch.mul(to_new, r[:, t], out=to_recurrent[:, t, :, 2 * H :])
            to_inputs[:, t, :, 2 * H :] = to_new
            carried = torch.addcmul(torch.bmm(to_recurrent[:, t], weight).to(states.dtype), carried, z[:, t])
        to_inputs[..., : 2 * H] = to_recurrent[..., : 2 * H]
        flat = to_recurrent.flatten(1, 2)  # (D, T * B, 3H)
        to_weight = flat.transpose(1, 2) @ before.to(ctx.dtype).flatten(1, 2)
        return to_inputs, to_weight, flat.sum(1), carried.to(start.dtype)
