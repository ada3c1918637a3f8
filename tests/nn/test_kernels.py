"""Kernels agree with one another, and those that `kernel="auto"` takes can be traced, compiled and exported."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from recurrent import EVERY_SHAPE, INPUTS, KERNELS, UNITS, batch, make, trained
from torch import nn

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.autograd.gru import span_length
from zoo.nn.cells import choose_kernel
from zoo.nn.cells.kernels.torch_rnn import in_one_type


@EVERY_SHAPE
@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [5, 1, 4, 2, 3]], ids=str)
@pytest.mark.parametrize("cell, kernel", [(cell, kernel) for cell, kernel in KERNELS if kernel != "steps"])
def test_kernels_agree_in_values_and_gradients(cell, kernel, lengths, layers, bidirectional):
    x, n = batch(lengths, extra=1)
    results = []
    for options in (RecurrentOptions(kernel="steps"), RecurrentOptions(kernel=kernel)):
        backbone = trained(make(cell, layers, bidirectional, options=options))
        inputs = x.clone().requires_grad_()
        start = [[torch.randn_like(part) for part in state] for state in backbone.initial_state(len(n))]
        encoded = backbone(inputs, n, [tuple(part.requires_grad_() for part in state) for state in start])
        (encoded.sequence.square().sum() + encoded.final.sum()).backward()
        starts = [part.grad for state in start for part in state]
        results.append((encoded, inputs.grad, starts, [p.grad for p in backbone.parameters()]))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_traced_backbone_is_right_for_other_lengths(cell):
    backbone, (x, lengths) = make(cell).eval(), batch([4, 4, 4])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(backbone, (x, lengths), check_trace=False)
        other = torch.tensor([2, 4, 0])
        sequence, final, _ = traced(x, other)
        expected = backbone(x, other)
    torch.testing.assert_close((sequence, final), expected[:2], atol=1e-5, rtol=0)


# Layers and directions are loops of the backbone: two kinds of kernels try them, and every cell tries two directions.
@pytest.mark.parametrize(
    "cell, layers, bidirectional",
    [*((cell, 1, True) for cell in CELLS), *((cell, 2, way) for cell in ("lstm", "gru") for way in (False, True))],
)
def test_compiles_and_exports_for_any_number_of_rows(cell, layers, bidirectional):
    backbone = trained(make(cell, layers, bidirectional)).eval()
    # A loop is unrolled, so that few steps compile faster.
    x, lengths = batch([2, 1, 2])
    more, other_lengths = batch([1, 2, 2, 0, 1])
    rows = torch.export.Dim("rows", min=2, max=1000)
    with torch.no_grad():
        # Otherwise it would remember the cells compiled before.
        torch.compiler.reset()
        compiled = torch.compile(backbone, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, lengths), backbone(x, lengths))
        program = torch.export.export(backbone, (x, lengths), dynamic_shapes=({0: rows}, {0: rows}))
        torch.testing.assert_close(
            tuple(program.module()(more, other_lengths)), tuple(backbone(more, other_lengths)), atol=1e-5, rtol=0
        )


def long_batch(units: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of several spans of steps, with one direction or two; some rows end at the end of a span."""
    ends = [span_length(directions, 300, 16, units) for directions in (1, 2)]
    assert ends[1] < ends[0] < 300
    lengths = torch.tensor([300, 299, 299 - ends[0], 300 - ends[1], ends[0], ends[1], 1, 0]).repeat(2)
    return torch.randn(16, 300, INPUTS), lengths


@pytest.mark.parametrize("shortest", [0, 210])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_long_handwritten_gru_equals_the_loop(bidirectional, shortest):
    x, lengths = long_batch(64)
    lengths = lengths.clamp(min=shortest)
    encoded = []
    for kernel, learning in (("steps", True), ("by_hand", True), ("by_hand", False)):
        torch.manual_seed(0)
        options = RecurrentOptions(kernel=kernel)
        backbone = trained(RecurrentBackbone(INPUTS, 64, cell="gru", bidirectional=bidirectional, options=options))
        with torch.set_grad_enabled(learning):
            encoded.append(backbone(x, lengths))
    torch.testing.assert_close(encoded[1], encoded[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(encoded[2], encoded[0], atol=1e-5, rtol=1e-4)


def test_gradients_of_a_long_handwritten_gru_equal_those_of_the_loop():
    x, lengths = long_batch(64)
    gradients = []
    for kernel in ("by_hand", "steps"):
        torch.manual_seed(0)
        backbone = trained(RecurrentBackbone(INPUTS, 64, cell="gru", options=RecurrentOptions(kernel=kernel)))
        backbone(x, lengths).sequence.square().mean().backward()
        gradients.append([p.grad for p in backbone.parameters()])
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("lengths, kernel", [([9, 3, 0, 4], "packed"), ([9, 8, 9, 7], "by_hand")])
def test_a_gru_packs_a_batch_with_much_padding_in_inference(lengths, kernel, monkeypatch):
    backbone = trained(RecurrentBackbone(INPUTS, UNITS, cell="gru"))
    x, lengths = batch(lengths)
    cell = backbone.cells[0]
    # Constants of one class of processors, whatever runs the tests.
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    learning = backbone(x, lengths)
    assert choose_kernel(cell, lengths, x.shape[1]).name == "by_hand"
    with torch.no_grad():
        assert choose_kernel(cell, lengths, x.shape[1]).name == kernel
        torch.testing.assert_close(backbone(x, lengths), learning, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell, padded", [("lstm", "fused"), ("gru", "by_hand")])
def test_without_avx512_a_batch_with_much_padding_is_packed(cell, padded, monkeypatch):
    layer = RecurrentBackbone(4, 512, cell=cell).cells[0]

    wide = RecurrentBackbone(4, 768, cell=cell).cells[0]

    def chosen(fraction: float, rows: int = 32, steps: int = 20, layer: nn.Module = layer) -> str:
        lengths = torch.full((rows,), round(fraction * steps))
        return choose_kernel(layer, lengths, steps).name

    with torch.no_grad():
        padded_before = chosen(0.8)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert chosen(0.5) == "packed"
    # Too full, too little to multiply, and too many steps.
    assert chosen(0.7) == chosen(0.5, rows=8) == chosen(0.5, steps=100) == padded_before == padded
    with torch.no_grad():
        assert chosen(0.8) == chosen(0.5, rows=8) == chosen(0.5, steps=100) == "packed"
        assert chosen(0.95) == (padded if cell == "lstm" else "packed")
        assert chosen(0.95, layer=wide) == "packed"
        assert chosen(1.0) == chosen(1.0, layer=wide) == padded
        with torch.autocast("cpu", torch.bfloat16):
            assert chosen(0.5) == padded
    x = torch.randn(32, 20, 4)
    lengths = torch.full((32,), 5)
    named = dict(layer.named_parameters())

    def score(given: dict[str, torch.Tensor]) -> torch.Tensor:
        state = layer.initial_state(32)
        return torch.func.functional_call(_Scan(layer), {f"cell.{k}": v for k, v in given.items()}, (x, lengths, state))

    # torch.func finds no packed kernel in its way.
    torch.func.grad(score)(named)


class _Scan(nn.Module):
    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, state: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self.cell.scan(x, lengths, state)[0].sum()


def test_cudnn_gets_input_and_weights_in_one_type():
    weights = [torch.ones(2), torch.ones(2, dtype=torch.bfloat16)]
    with torch.autocast("cpu", torch.bfloat16):
        x, cast = in_one_type(torch.ones(2), weights)
    assert {tensor.dtype for tensor in (x, *cast)} == {torch.bfloat16}
    x, cast = in_one_type(torch.ones(2, dtype=torch.float64), weights)
    assert {tensor.dtype for tensor in (x, *cast)} == {torch.float64}


@pytest.mark.parametrize("cell", CELLS)
def test_weights_may_be_normalised_pruned_or_replicated(cell):
    """Cells read their weights by name, wherever they come from."""
    x, lengths = batch([4, 2])
    for change in (
        lambda layer: nn.utils.parametrizations.weight_norm(layer, "weight_ih"),
        lambda layer: nn.utils.prune.random_unstructured(layer, "weight_ih", 0.5),
    ):
        backbone = make(cell)
        plain = backbone(x, lengths).sequence
        for layer in backbone.cells:
            change(layer)
        found = backbone(x, lengths).sequence
        pruned = "weight_ih_mask" in dict(backbone.cells[0].named_buffers())
        assert torch.allclose(found, plain, atol=1e-6) != pruned
        found.square().sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in backbone.parameters())
    backbone = make(cell)
    replica = copy.copy(backbone.cells[0])
    replica._parameters = {}
    for name, parameter in backbone.cells[0].named_parameters():
        # This is how nn.DataParallel replicates a module.
        setattr(replica, name, parameter * 1)
    torch.testing.assert_close(
        replica.scan(x, lengths, replica.initial_state(2)), backbone.cells[0].scan(x, lengths, replica.initial_state(2))
    )
