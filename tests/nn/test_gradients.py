"""Gradients: of every kernel against finite differences, by torch.func, and of second order."""

from __future__ import annotations

import re

import pytest
import torch
from outcomes import result_or_error
from recurrent import EVERY_KERNEL

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.autograd import GRUScan, LinearScan
from zoo.autograd import gru as gru_module
from zoo.errors import ZooError
from zoo.nn.cells import kernel_names, make_cell
from zoo.nn.cells.kernels.base import SATURATION

INPUTS = 3


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gru_layer() -> tuple[torch.Tensor, ...]:
    """The arguments of `GRUScan`: three rows, five steps and two directions."""
    torch.manual_seed(3)
    D, T, B, H = 2, 5, 3, 2
    weights = random(D, 3 * H, INPUTS), random(D, 3 * H), random(D, 3 * H, H), random(D, H)
    padding = torch.arange(T) >= torch.tensor([5, 2, 0])[:, None]  # (B, T)
    return random(B, T, INPUTS), padding[..., None] * SATURATION, *weights, random(D, B, H)


@pytest.mark.parametrize("span", [1, 2, 5])
def test_gradients_of_the_handwritten_gru_are_right(span, monkeypatch):
    monkeypatch.setattr(gru_module, "NUMBERS", 0)
    monkeypatch.setattr(gru_module, "ROWS", span * 3)
    assert torch.autograd.gradcheck(lambda *layer: GRUScan.apply(*layer)[:2], gru_layer())


def test_the_handwritten_gru_does_not_modify_its_output_gradients():
    layer = gru_layer()
    made = GRUScan.apply(*layer)[:2]
    given = [torch.randn_like(part) for part in made]
    before = [grad.clone() for grad in given]
    torch.autograd.grad(made, [layer[0], *layer[2:]], given)
    torch.testing.assert_close(given, before, atol=0, rtol=0)


def test_gradients_of_the_linear_scan_are_right():
    torch.manual_seed(3)
    assert torch.autograd.gradcheck(LinearScan.apply, (random(2, 5, 3), random(2, 5, 3), random(2, 3)))


def able(cell: str, options: RecurrentOptions) -> bool:
    try:
        make_cell(cell, INPUTS, 4, options)
    except ZooError:
        return False
    return True


REGULARISERS = [{}, {"hidden_dropout": 0.4}, {"weight_drop": 0.4}, {"zoneout": 0.4}]
LAYERS = [
    (cell, options)
    for cell in CELLS
    for kernel in kernel_names(cell)
    for options in [RecurrentOptions(kernel=kernel, **regulariser) for regulariser in REGULARISERS]
    if able(cell, options)
]


@pytest.mark.parametrize("cell, options", LAYERS, ids=str)
def test_gradients_of_every_kernel_are_right(cell, options):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 3, cell=cell, options=options).double()
    names, values = zip(*backbone.named_parameters(), strict=True)
    start = [[part.double() for part in state] for state in backbone.initial_state(2)]

    def run(x, h, *parameters):
        # Each pass drops the same units and weights.
        torch.manual_seed(4)
        named = dict(zip(names, parameters, strict=True))
        states = tuple((h + state[0], *state[1:]) for state in start)
        encoded = torch.func.functional_call(backbone, named, (x, torch.tensor([3, 2]), states))
        return encoded.sequence, encoded.state[0][-1], encoded.final

    inputs = random(2, 3, 2), random(2, backbone.cells[0].output_size)
    parameters = [value.detach().requires_grad_() for value in values]
    # In fast mode, gradcheck compares random projections of the Jacobian, which takes a tenth of the time.
    assert torch.autograd.gradcheck(run, (*inputs, *parameters), fast_mode=True)


@pytest.mark.parametrize("frozen", [False, True])
@EVERY_KERNEL
def test_a_second_derivative_is_right_or_refused(cell, kernel, frozen):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 3, cell=cell, options={"kernel": kernel}).double().requires_grad_(not frozen)
    lengths, x = torch.tensor([3, 2]), random(2, 3, 2)

    def score(z):
        return backbone(z, lengths).sequence.square().sum()

    def slope(z):
        return torch.autograd.grad(score(z), z)[0]

    found = result_or_error(lambda: torch.autograd.functional.hessian(score, x), ZooError, RuntimeError)
    if isinstance(found, Exception):
        refusal = "leave create_graph=True out|automatic differentiation|not implemented|modified by an inplace"
        assert re.search(refusal, str(found))
        return
    shift = 1e-5 * torch.eye(12, dtype=torch.double).view(12, 2, 3, 2)
    columns = [(slope((x + d).detach().requires_grad_()) - slope((x - d).detach().requires_grad_())) for d in shift]
    torch.testing.assert_close(found.reshape(12, 12), torch.stack(columns).reshape(12, 12) / 2e-5, atol=1e-6, rtol=0)


@EVERY_KERNEL
def test_torch_func_gives_the_gradient_of_autograd(cell, kernel):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 3, cell=cell, options={"kernel": kernel}).double()
    x, lengths = torch.randn(2, 3, 2, dtype=torch.float64), torch.tensor([3, 2])
    parameters = dict(backbone.named_parameters())

    def score(given, z):
        encoded = torch.func.functional_call(backbone, given, (z, lengths))
        return encoded.sequence.square().sum() + encoded.final.sum()

    if kernel == "packed":
        with pytest.raises(ZooError, match="packed kernels do not go through torch.func"):
            torch.func.grad(score, argnums=(0, 1))(parameters, x)
        return
    found = torch.func.grad(score, argnums=(0, 1))(parameters, x)
    z = x.clone().requires_grad_()
    score(parameters, z).backward()
    torch.testing.assert_close(found[1], z.grad, atol=1e-12, rtol=0)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[0][name], parameter.grad, atol=1e-12, rtol=0)


@EVERY_KERNEL
def test_torch_func_gives_a_right_hessian_or_refuses(cell, kernel):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 2, cell=cell, bidirectional=False, options={"kernel": kernel}).double()
    x, lengths = torch.randn(2, 3, 2, dtype=torch.float64), torch.tensor([3, 2])
    weight = backbone.cells[0].weight_ih.detach()

    def score(w):
        return torch.func.functional_call(backbone, {"layers.0.0.weight_ih": w}, (x, lengths)).sequence.sum()

    found = result_or_error(lambda: torch.func.jacrev(torch.func.jacrev(score))(weight), ZooError, RuntimeError)
    if isinstance(found, Exception):
        assert re.search("create_graph=True|torch.func|vmap|automatic differentiation|not implemented", str(found))
        return
    expected = torch.autograd.functional.hessian(score, weight)
    torch.testing.assert_close(found.flatten(), expected.flatten(), atol=1e-9, rtol=0)
