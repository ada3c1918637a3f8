"""Each cell against its paper's equations, one number at a time, and long sequences of the minimal cells."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from torch import nn

from zoo import CELLS, RecurrentBackbone, RecurrentOptions
from zoo.autograd import LinearScan
from zoo.nn.cells import make_cell
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
    """W x + U h + b, the pre-activation of one gate of one unit."""
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
        # The stabiliser cancels: while nothing overflows, the step can be computed without it.
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
    # gru and rnn are compared with torch's own in test_backbone.py.
    assert {name.split(",")[0] for name in REFERENCES} | {"gru", "rnn"} == set(CELLS)


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
    # An slstm's normaliser, which is not free, is positive.
    if start == "given":
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


def test_slstm_does_not_overflow():
    cell = make_cell("slstm", INPUTS, UNITS, RecurrentOptions())
    cell.bias_ih.data[:UNITS] = torch.tensor([500.0, -500.0, 200.0, 0.0])
    x = torch.randn(2, 30, INPUTS, requires_grad=True)
    outputs, _ = cell.scan(x, torch.tensor([30, 7]), cell.initial_state(2))
    outputs.sum().backward()
    assert outputs.isfinite().all() and x.grad.isfinite().all()


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
        results.append((y.detach().double(), torch.autograd.grad(y.mean(), z)[0].double()))
    # Scores in the thousands have only three decimals.
    share = 1e-6 * max(10, scale)
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=share * float(expected.abs().max()), rtol=share)


def test_closed_gates_of_a_min_lstm_keep_the_state():
    cell = make_cell("min_lstm", 1, 1, RecurrentOptions())
    cell.load_state_dict({"weight_ih": torch.tensor([[-50.0], [-100.0], [0.0]]), "bias_ih": torch.zeros(3)})
    # f / (f + i) is 1 to 22 digits.
    x, h = torch.ones(1, 3, 1), torch.full((1, 1), 4.0)
    assert cell.step(x[:, 0], (h,))[0].item() == 4.0
    assert cell.scan(x, torch.tensor([3]), (h,))[0].flatten().tolist() == [4.0, 4.0, 4.0]
