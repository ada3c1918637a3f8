"""The backbone in half and double precision: the state stays in fp32 at least, and other types are refused."""

from __future__ import annotations

import pytest
import torch
from recurrent import EVERY_KERNEL, EVERY_PRECISION, EVERY_SHAPE, INPUTS, KERNELS, UNITS, batch, make, trained

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.errors import ZooError
from zoo.nn.cells import precision


@EVERY_PRECISION
@EVERY_KERNEL
def test_large_inputs_do_not_overflow(cell, kernel, bf16):
    backbone, (x, lengths) = make(cell, 2, options=RecurrentOptions(kernel=kernel)), batch([9, 1, 4] * 8)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        encoded = backbone(1000 * x, lengths)
    gradients = torch.autograd.grad(encoded.sequence.float().square().mean(), [*backbone.parameters()])
    values = [encoded.sequence, *(part for state in encoded.state for part in state)]
    assert all(tensor.isfinite().all() for tensor in (*values, *gradients))


# Which gate of a cell keeps the past, and the sign of the bias that makes it keep more.
HOLDING = {
    "lstm": (1, 1), "gru": (1, 1), "peephole_lstm": (1, 1), "cifg_lstm": (0, 1), "layer_norm_lstm": (1, 1),
    "projected_lstm": (1, 1), "slstm": (1, 1), "min_gru": (0, -1), "min_lstm": (1, -1),
}  # fmt: skip


def holding(cell: str, bidirectional: bool, kernel: str = "auto") -> RecurrentBackbone:
    """A backbone whose state fades by 1 / 245 per step, and whose weights bf16 represents exactly."""
    backbone = make(cell, bidirectional=bidirectional, options=RecurrentOptions(kernel=kernel))
    for layer in backbone.cells:
        gate, sign = HOLDING[cell]
        layer.bias_ih.data.view(-1, UNITS)[gate] = 5.5 * sign
        if hasattr(layer, "weight_hh"):
            # Where the product is normalised, only its scale matters.
            scale = getattr(layer, "scale_hh", layer.weight_hh)
            # Otherwise rounding errors would grow from step to step.
            scale.data.mul_(0.3)
    return backbone.bfloat16().float().eval()


@pytest.mark.parametrize("how", ["autocast", "stored"])
@pytest.mark.parametrize(
    "cell, kernel", [pair for pair in KERNELS if pair[0] in HOLDING and pair[1] not in ("fused", "packed")]
)
def test_the_state_is_not_kept_in_half_precision(cell, kernel, how):
    # Over 12 seeds, the relative distances are at most 0.006. With the state or its gate in bf16, which is too coarse
    # to add the small change of a step, they are 0.02 to 0.3: torch's own kernels of a GRU have 0.06 and 0.16.
    torch.manual_seed(0)
    x, lengths = torch.randn(8, 600, INPUTS).bfloat16().float(), torch.tensor([600, 598, 500, 450] * 2)
    with torch.no_grad():
        for bidirectional in (True, False):
            backbone = holding(cell, bidirectional, kernel)
            exact = backbone(x, lengths)
            backbone, seen = (backbone, x) if how == "autocast" else (backbone.bfloat16(), x.bfloat16())
            with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
                found = backbone(seen, lengths).final
            assert (found.float() - exact.final).norm() < 0.01 * exact.final.norm()
        state = backbone.initial_state(8)
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            for t in range(600):
                y, state = backbone.step(seen[:, t], state)
        found = y[lengths == 600].float()
    assert (found - exact.final[0, lengths == 600]).norm() < 0.01 * found.norm()


@pytest.mark.parametrize("how", ["autocast", "stored"])
@pytest.mark.parametrize("cell", HOLDING)
def test_half_precision_is_independent_of_batch_and_chunks(cell, how):
    backbone, (x, lengths) = holding(cell, False), batch([200, 20, 20, 20])
    backbone, x = (backbone, x) if how == "autocast" else (backbone.bfloat16(), x.bfloat16())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        alone, together, state = backbone(x[:1], lengths[:1]), backbone(x, lengths), None
        for chunk in x[:1].split(5, dim=1):
            state = backbone(chunk, torch.tensor([chunk.shape[1]]), state).state
    assert alone.sequence.dtype == together.sequence.dtype
    torch.testing.assert_close(together.final[:, :1], alone.final, atol=0, rtol=0.01)
    torch.testing.assert_close(state[0][0].float(), alone.final[0].float(), atol=0, rtol=0.01)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_continue_a_scan_in_half_precision(cell):
    backbone = make(cell, 2, bidirectional=False).bfloat16()
    x, lengths = batch([6, 6])
    whole = backbone(x.bfloat16(), lengths)
    start = backbone(x[:, :3].bfloat16(), lengths - 3)
    state, outputs = start.state, [start.sequence]
    for t in range(3, 6):
        y, state = backbone.step(x[:, t].bfloat16(), state)
        outputs.append(y[:, None])
    assert {y.dtype for y in outputs} == {torch.bfloat16}
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole.sequence, atol=2e-2, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_inputs_of_another_dtype_need_autocast(cell):
    x, lengths = batch([4, 2])
    backbone = make(cell)
    for wrong in (x.half(), x.double(), x.long()):
        for n in (lengths, torch.tensor([4, 4])):
            with torch.no_grad(), pytest.raises(ZooError, match=rf"expected x of torch.float32.*got {wrong.dtype}"):
                backbone(wrong, n)
    with torch.autocast("cpu", torch.bfloat16):
        assert backbone(x.bfloat16(), lengths).sequence.isfinite().all()
        with pytest.raises(ZooError, match="got torch.float64: convert it with x.to"):
            backbone(x.double(), lengths)
    # torch has no fused LSTM in fp16 for CPUs.
    for dtype in [torch.bfloat16] if cell == "lstm" else [torch.bfloat16, torch.float16]:
        with torch.autocast("cpu", dtype):
            learning = backbone(x, lengths).sequence
            with torch.no_grad():
                inferred = backbone(x, lengths).sequence
        assert learning.dtype == inferred.dtype == dtype
    torch.testing.assert_close(backbone(x, lengths.int()), backbone(x, lengths))


@pytest.mark.parametrize("cell", CELLS)
def test_inference_in_double_precision_equals_training(cell):
    backbone, (x, lengths) = make(cell).double(), batch([9, 4, 7])
    learning = backbone(x.double(), lengths)
    for autocast in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            inferred = backbone(x.double(), lengths)
        torch.testing.assert_close(inferred, learning, atol=1e-12, rtol=0)


@EVERY_SHAPE
@EVERY_PRECISION
@EVERY_KERNEL
def test_inference_equals_training(cell, kernel, bf16, layers, bidirectional):
    backbone = trained(make(cell, layers, bidirectional, options=RecurrentOptions(kernel=kernel)))
    x, lengths = batch([6, 1, 4])
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        with torch.no_grad():
            inferred = backbone(x, lengths)
        learning = backbone(x, lengths)
    tolerance = {"atol": 5e-2, "rtol": 5e-2} if bf16 else {}
    torch.testing.assert_close(inferred, learning, **tolerance)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cpu_without_half_precision_scans_in_fp32(cell, monkeypatch):
    backbone, (x, lengths) = make(cell), batch([9, 1, 4])
    exact = backbone(x.bfloat16().float(), lengths)
    monkeypatch.setattr(precision, "SLOW_ON_CPU", {torch.bfloat16})
    with torch.autocast("cpu", torch.bfloat16):
        found = backbone(x.bfloat16(), lengths)
    assert torch.equal(found.sequence, exact.sequence)
    # Weights that are in half precision already stay there.
    with torch.autocast("cpu", torch.bfloat16):
        stored = backbone.bfloat16()(x.bfloat16(), lengths)
    assert stored.sequence.dtype == torch.bfloat16
