"""Each cell against its paper's equations, one number at a time; the hand-written gradients against differences."""

from __future__ import annotations

import math
import re
from copy import deepcopy

import pytest
import torch
from torch import nn

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.autograd import GRUScan, LinearScan
from zoo.autograd import gru as gru_module
from zoo.errors import ZooError
from zoo.nn.cells import kernel_names, make_cell
from zoo.nn.cells.kernels.base import SATURATION
from zoo.nn.cells.kernels.minimal import parallel_scan

INPUTS, UNITS, STEPS = 3, 4, 5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def dot(row, vector) -> float:
    return sum(a * b for a, b in zip(row, vector, strict=True))


def normalise(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values) + 1e-5)
    return [(v - mean) / deviation for v in values]


def scores(p: dict, x: list[float], h: list[float], gate: int, unit: int) -> float:
    """W x + U h + b of one unit's gate."""
    row = gate * UNITS + unit
    return (
        dot(p["weight_ih"][row], x) + dot(p["weight_hh"][row], h) + p["bias_ih"][row] + p.get("bias_hh", [0] * 99)[row]
    )


def lstm(p, x, h, c, order="ifgo"):
    new = {gate: [scores(p, x, h, order.index(gate), u) for u in range(UNITS)] for gate in order}
    c = [
        sigmoid(f) * old + sigmoid(i) * math.tanh(g)
        for i, f, g, old in zip(new["i"], new["f"], new["g"], c, strict=True)
    ]
    return [sigmoid(o) * math.tanh(v) for o, v in zip(new["o"], c, strict=True)], c


def peephole(p, x, h, c, current):
    wi, wf, wo = p["peephole"]
    after, out = [], []
    for u in range(UNITS):
        i, f, o, g = (scores(p, x, h, gate, u) for gate in range(4))
        after.append(sigmoid(f + wf[u] * c[u]) * c[u] + sigmoid(i + wi[u] * c[u]) * math.tanh(g))
        out.append(sigmoid(o + wo[u] * (after[u] if current else c[u])) * math.tanh(after[u]))
    return out, after


def cifg(p, x, h, c):
    after, out = [], []
    for u in range(UNITS):
        f, o, g = (scores(p, x, h, gate, u) for gate in range(3))
        after.append(sigmoid(f) * c[u] + (1 - sigmoid(f)) * math.tanh(g))
        out.append(sigmoid(o) * math.tanh(after[u]))
    return out, after


def layer_norm(p, x, h, c):
    from_x = normalise([dot(row, x) for row in p["weight_ih"]])
    from_h = normalise([dot(row, h) for row in p["weight_hh"]])
    total = [
        a * s + b * r + bias
        for a, s, b, r, bias in zip(from_x, p["scale_ih"], from_h, p["scale_hh"], p["bias_ih"], strict=True)
    ]
    i, f, o, g = (total[k * UNITS : (k + 1) * UNITS] for k in range(4))
    c = [sigmoid(f[u]) * c[u] + sigmoid(i[u]) * math.tanh(g[u]) for u in range(UNITS)]
    inside = [v * s + b for v, s, b in zip(normalise(c), p["scale_c"], p["bias_c"], strict=True)]
    return [sigmoid(o[u]) * math.tanh(inside[u]) for u in range(UNITS)], c


def projected(p, x, h, c):
    inside, c = lstm(p, x, h, c, order="ifog")
    return [dot(row, inside) for row in p["weight_ho"]], c


def slstm(p, x, h, c, n, m):
    out, after, normal, stabiliser = [], [], [], []
    for u in range(UNITS):
        i, f, o, z = (scores(p, x, h, gate, u) for gate in range(4))
        # The stabiliser cancels: as long as nothing overflows, the step can be taken without it.
        true_c = sigmoid(f) * c[u] * math.exp(m[u]) + math.exp(i) * math.tanh(z)
        true_n = sigmoid(f) * n[u] * math.exp(m[u]) + math.exp(i)
        out.append(sigmoid(o) * true_c / true_n)
        stabiliser.append(max(math.log(sigmoid(f)) + m[u], i))
        after.append(true_c / math.exp(stabiliser[u]))
        normal.append(true_n / math.exp(stabiliser[u]))
    return out, after, normal, stabiliser


def positive(x: float) -> float:
    return x + 0.5 if x >= 0 else sigmoid(x)


def min_scores(p, x, gate, unit):
    row = gate * UNITS + unit
    return dot(p["weight_ih"][row], x) + p["bias_ih"][row]


def min_gru(p, x, h):
    z = [sigmoid(min_scores(p, x, 0, u)) for u in range(UNITS)]
    after = [(1 - z[u]) * h[u] + z[u] * positive(min_scores(p, x, 1, u)) for u in range(UNITS)]
    return (after,)


def min_lstm(p, x, h):
    after = []
    for u in range(UNITS):
        f, i = sigmoid(min_scores(p, x, 0, u)), sigmoid(min_scores(p, x, 1, u))
        after.append((f * h[u] + i * positive(min_scores(p, x, 2, u))) / (f + i))
    return (after,)


REFERENCES = {
    "lstm": (lstm, {}),
    "peephole_lstm": (lambda *a: peephole(*a, current=True), {}),
    "peephole_lstm, previous": (lambda *a: peephole(*a, current=False), {"output_gate": "previous"}),
    "cifg_lstm": (cifg, {}),
    "layer_norm_lstm": (layer_norm, {}),
    "projected_lstm": (projected, {"projection_size": 2}),
    "slstm": (slstm, {}),
    "min_gru": (min_gru, {}),
    "min_lstm": (min_lstm, {}),
}


def test_every_cell_has_a_reference():
    assert {name.split(",")[0] for name in REFERENCES} | {"gru", "rnn"} == set(CELLS)  # these two against torch


@pytest.mark.parametrize("start", ["initial", "given"])
@pytest.mark.parametrize("name", REFERENCES)
def test_equals_its_equations(name, start):
    reference, options = REFERENCES[name]
    torch.manual_seed(2)
    cell = make_cell(name.split(",")[0], INPUTS, UNITS, RecurrentOptions(**options)).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    parameters = {key: value.tolist() for key, value in cell.named_parameters()}
    x, lengths = torch.randn(2, STEPS, INPUTS, dtype=torch.float64), [STEPS, STEPS - 2]
    states = tuple(part.double() for part in cell.initial_state(2))
    if start == "given":  # what is not free, an slstm's normaliser, is positive
        states = tuple(
            torch.randn_like(part) if k < cell.free_states else torch.rand_like(part) for k, part in enumerate(states)
        )
    outputs, ends = cell.scan(x, torch.tensor(lengths), states)
    for row, length in enumerate(lengths):
        state = [part[row].tolist() for part in states]
        for t in range(length):
            state = reference(parameters, x[row, t].tolist(), *state)
            torch.testing.assert_close(outputs[row, t].tolist(), state[0], atol=1e-9, rtol=1e-9)
        torch.testing.assert_close([end[row].tolist() for end in ends], list(state), atol=1e-9, rtol=1e-9)


def test_slstm_survives_gates_that_would_overflow():
    cell = make_cell("slstm", INPUTS, UNITS, RecurrentOptions())
    cell.bias_ih.data[:UNITS] = torch.tensor([500.0, -500.0, 200.0, 0.0])
    x = torch.randn(2, 30, INPUTS, requires_grad=True)
    outputs, _ = cell.scan(x, torch.tensor([30, 7]), cell.initial_state(2))
    outputs.sum().backward()
    assert outputs.isfinite().all() and x.grad.isfinite().all()


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def gru_layer() -> tuple[torch.Tensor, ...]:
    """What `GRUScan` takes, of three rows, five steps and two directions."""
    torch.manual_seed(3)
    D, T, B, H = 2, 5, 3, 2
    weights = random(D, 3 * H, INPUTS), random(D, 3 * H), random(D, 3 * H, H), random(D, H)
    padding = torch.arange(T) >= torch.tensor([5, 2, 0])[:, None]  # (B, T)
    return random(B, T, INPUTS), padding[..., None] * SATURATION, *weights, random(D, B, H)


@pytest.mark.parametrize("span", [1, 2, 5])
def test_gradients_of_the_gru_by_hand(span, monkeypatch):
    monkeypatch.setattr(gru_module, "NUMBERS", 0)
    monkeypatch.setattr(gru_module, "ROWS", span * 3)
    assert torch.autograd.gradcheck(lambda *layer: GRUScan.apply(*layer)[:2], gru_layer())


def test_the_gru_by_hand_writes_into_no_gradient_that_it_is_given():
    layer = gru_layer()
    made = GRUScan.apply(*layer)[:2]
    given = [torch.randn_like(part) for part in made]
    before = [grad.clone() for grad in given]
    torch.autograd.grad(made, [layer[0], *layer[2:]], given)
    torch.testing.assert_close(given, before, atol=0, rtol=0)


def test_gradients_of_the_linear_scan():
    torch.manual_seed(3)
    assert torch.autograd.gradcheck(LinearScan.apply, (random(2, 5, 3), random(2, 5, 3), random(2, 3)))


def able(cell: str, options: RecurrentOptions) -> bool:
    try:
        make_cell(cell, INPUTS, UNITS, options)
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
def test_gradients_of_every_kernel(cell, options):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 3, cell=cell, options=options).double()
    names, values = zip(*backbone.named_parameters(), strict=True)
    start = [[part.double() for part in state] for state in backbone.initial_state(2)]

    def run(x, h, *parameters):
        torch.manual_seed(4)  # the same holes in each pass
        named = dict(zip(names, parameters, strict=True))
        states = tuple((h + state[0], *state[1:]) for state in start)
        encoded = torch.func.functional_call(backbone, named, (x, torch.tensor([3, 2]), states))
        return encoded.sequence, encoded.state[0][-1], encoded.final

    inputs = random(2, 3, 2), random(2, backbone.cells[0].output_size)
    assert torch.autograd.gradcheck(run, (*inputs, *(v.detach().requires_grad_() for v in values)))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("cell, kernel", [(cell, kernel) for cell in CELLS for kernel in kernel_names(cell)])
def test_a_second_derivative_is_right_or_refused(cell, kernel, frozen):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 3, cell=cell, options={"kernel": kernel}).double().requires_grad_(not frozen)
    lengths, x = torch.tensor([3, 2]), random(2, 3, 2)

    def score(z):
        return backbone(z, lengths).sequence.square().sum()

    def slope(z):
        return torch.autograd.grad(score(z), z)[0]

    try:
        found = torch.autograd.functional.hessian(score, x).reshape(12, 12)
    except (ZooError, RuntimeError) as error:
        refusal = "leave create_graph=True out|automatic differentiation|not implemented|modified by an inplace"
        assert re.search(refusal, str(error))
        return
    shift = 1e-5 * torch.eye(12, dtype=torch.double).view(12, 2, 3, 2)
    columns = [(slope((x + d).detach().requires_grad_()) - slope((x - d).detach().requires_grad_())) for d in shift]
    torch.testing.assert_close(found, torch.stack(columns).reshape(12, 12) / 2e-5, atol=1e-6, rtol=0)


def test_the_parallel_scan_equals_the_linear_one_over_a_long_sequence():
    torch.manual_seed(4)
    gates = torch.randn(2, 1500, 3)
    keep, take = torch.nn.functional.logsigmoid(gates), torch.nn.functional.logsigmoid(-gates)
    start = torch.randn(2, 3)
    step_by_step = LinearScan.apply(take.exp(), torch.ones_like(take), start)
    torch.testing.assert_close(parallel_scan(keep, take, start), step_by_step, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [1, 5, 1000])
@pytest.mark.parametrize("kernel", ["steps", "parallel"])
@pytest.mark.parametrize("cell", ["min_gru", "min_lstm"])
def test_minimal_cells_lose_no_digits_in_long_sequences_of_large_inputs(cell, kernel, scale):
    torch.manual_seed(5)
    backbone = RecurrentBackbone(4, 3, cell=cell, bidirectional=False, options={"kernel": kernel})
    for parameter in backbone.parameters():
        nn.init.normal_(parameter)
    x, lengths, results = scale * torch.randn(2, 2000, 4), torch.tensor([2000, 700]), []
    for kind in (backbone, deepcopy(backbone).double()):
        z = x.to(kind.layers[0][0].weight_ih.dtype).requires_grad_()
        y = kind(z, lengths).sequence
        results.append((y.double(), torch.autograd.grad(y.mean(), z)[0].double()))
    share = 1e-6 * max(10, scale)  # scores in the thousands have but three digits behind the point
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=share * float(expected.abs().max()), rtol=share)


def test_closed_gates_of_a_min_lstm_keep_what_they_kept():
    cell = make_cell("min_lstm", 1, 1, RecurrentOptions())
    cell.load_state_dict({"weight_ih": torch.tensor([[-50.0], [-100.0], [0.0]]), "bias_ih": torch.zeros(3)})
    x, h = torch.ones(1, 3, 1), torch.full((1, 1), 4.0)  # f / (f + i) is 1 to 22 digits
    assert cell.step(x[:, 0], (h,))[0].item() == 4.0
    assert cell.scan(x, torch.tensor([3]), (h,))[0].flatten().tolist() == [4.0, 4.0, 4.0]


@pytest.mark.parametrize("cell, kernel", [(cell, kernel) for cell in CELLS for kernel in kernel_names(cell)])
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


@pytest.mark.parametrize("cell, kernel", [(cell, kernel) for cell in CELLS for kernel in kernel_names(cell)])
def test_torch_func_gives_a_right_hessian_or_refuses(cell, kernel):
    torch.manual_seed(3)
    backbone = RecurrentBackbone(2, 2, cell=cell, bidirectional=False, options={"kernel": kernel}).double()
    x, lengths = torch.randn(2, 3, 2, dtype=torch.float64), torch.tensor([3, 2])
    weight = backbone.cells[0].weight_ih.detach()

    def score(w):
        return torch.func.functional_call(backbone, {"layers.0.0.weight_ih": w}, (x, lengths)).sequence.sum()

    try:
        found = torch.func.jacrev(torch.func.jacrev(score))(weight).flatten()
    except (ZooError, RuntimeError) as error:
        assert re.search("create_graph=True|torch.func|vmap|automatic differentiation|not implemented", str(error))
        return
    expected = torch.autograd.functional.hessian(score, weight)
    torch.testing.assert_close(found, expected.flatten(), atol=1e-9, rtol=0)
