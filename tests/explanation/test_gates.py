"""The gates that are shown are those that a cell's step uses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import zoo
from zoo import CELLS, RecurrentOptions
from zoo.codecs import ClassificationCodec
from zoo.errors import ZooError
from zoo.nn.cells import make_cell
from zoo.text import PAD, UNKNOWN

WORDS = ["the", "dog", "eats", "fish"]
TEXT = "the dog eats the fish"
GATED = {
    "lstm": ["input", "forget", "output"],
    "gru": ["reset", "update"],
    "peephole_lstm": ["input", "forget", "output"],
    "cifg_lstm": ["forget", "output"],
    "layer_norm_lstm": ["input", "forget", "output"],
    "projected_lstm": ["input", "forget", "output"],
    "slstm": ["input", "forget", "output"],
    "min_gru": ["update"],
    "min_lstm": ["input"],
}


def model(cell: str = "lstm", **options) -> zoo.TextClassifier:
    torch.manual_seed(0)
    codec = ClassificationCodec([PAD, UNKNOWN, *WORDS], ["bad", "good"])
    made = zoo.TextClassifier(codec, cell=cell, hidden_size=6, embedding_size=8, **options)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made.train()


def test_every_cell_but_the_simple_one_has_gates():
    assert sorted([*GATED, "rnn"]) == sorted(CELLS)
    with pytest.raises(ZooError, match="class RNN has no gates to show: those of lstm, gru, .*min_lstm have some"):
        zoo.gate_activations(model("rnn"), [TEXT])


@pytest.mark.parametrize("cell", GATED)
@pytest.mark.parametrize("layer, direction", [(0, "forward"), (1, "backward")])
def test_gates_are_numbers_from_zero_to_one_for_each_token_and_unit(cell, layer, direction):
    (found,) = zoo.gate_activations(model(cell, num_layers=2), [TEXT], layer=layer, direction=direction)
    assert found.tokens == tuple(TEXT.split()) and list(found.gates) == GATED[cell]
    assert found.cell == CELLS[cell].__name__
    for gate in found.gates.values():
        assert gate.shape == (5, 6) and 0 <= gate.min() < gate.max() <= 1


def step_of(cell: str, **options):
    """A cell, an input, a state after some steps, and the gates of the next step."""
    torch.manual_seed(0)
    made = make_cell(cell, 3, 4, RecurrentOptions(**options))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    _, state = made.scan(torch.randn(1, 3, 3), torch.tensor([3]), made.initial_state(1))
    x = torch.randn(1, 3)
    return made, x, state, {name: gate.detach() for name, gate in made.gates(x, state).items()}


def derivative(after, before: Tensor) -> Tensor:
    """The derivatives of each unit of a state with respect to its own value before."""
    return torch.autograd.functional.jacobian(after, before)[0, :, 0].diagonal()


@pytest.mark.parametrize("cell", ["lstm", "cifg_lstm", "layer_norm_lstm", "projected_lstm"])
def test_the_forget_gate_is_how_much_of_the_cell_state_stays(cell):
    made, x, (h, c), gates = step_of(cell)
    stays = derivative(lambda c: made.step(x, (h, c))[1][1], c)
    torch.testing.assert_close(gates["forget"][0], stays)


@pytest.mark.parametrize("cell", ["lstm", "cifg_lstm"])
def test_the_output_gate_is_the_share_of_the_cell_state_that_is_shown(cell):
    made, x, state, gates = step_of(cell)
    h, c = made.step(x, state)[1]
    torch.testing.assert_close(gates["output"] * c.tanh(), h)


def test_input_and_forget_gate_make_the_next_cell_state_of_an_lstm():
    made, x, (h, c), gates = step_of("lstm")
    candidate = (made.weight_ih @ x[0] + made.bias_ih + made.weight_hh @ h[0] + made.bias_hh)[8:12].tanh()
    expected = made.step(x, (h, c))[1][1]
    torch.testing.assert_close(gates["forget"] * c + gates["input"] * candidate, expected)


def test_the_gates_of_a_gru_make_its_next_state():
    made, x, (h,), gates = step_of("gru")
    from_input = made.weight_ih @ x[0] + made.bias_ih
    from_state = made.weight_hh @ h[0] + made.bias_hh
    candidate = (from_input[8:] + gates["reset"] * from_state[8:]).tanh()
    expected, _ = made.step(x, (h,))
    torch.testing.assert_close(gates["update"] * h + (1 - gates["update"]) * candidate, expected)


@pytest.mark.parametrize("output_gate", ["current", "previous"])
def test_the_gates_of_a_peephole_cell_see_its_cell_state(output_gate):
    made, x, (h, c), gates = step_of("peephole_lstm", output_gate=output_gate)
    after_h, after_c = made.step(x, (h, c))[1]
    candidate = (made.weight_ih @ x[0] + made.bias_ih + made.weight_hh @ h[0])[12:].tanh()
    torch.testing.assert_close(gates["forget"] * c + gates["input"] * candidate, after_c)
    torch.testing.assert_close(gates["output"] * after_c.tanh(), after_h)


def test_the_gates_of_an_slstm_are_shares_of_its_normalized_state():
    made, x, (h, c, n, m), gates = step_of("slstm")
    output, (_, after_c, after_n, _) = made.step(x, (h, c, n, m))
    candidate = (made.weight_ih @ x[0] + made.bias_ih + made.weight_hh @ h[0])[12:].tanh()
    torch.testing.assert_close(gates["forget"] * c / n + gates["input"] * candidate, after_c / after_n)
    torch.testing.assert_close(gates["output"] * after_c / after_n, output)


@pytest.mark.parametrize("cell, name", [("min_gru", "update"), ("min_lstm", "input")])
def test_the_gate_of_a_minimal_cell_is_how_much_of_its_state_goes(cell, name):
    made, x, (h,), gates = step_of(cell)
    torch.testing.assert_close(1 - gates[name][0], derivative(lambda h: made.step(x, (h,))[1][0], h))


def test_a_layer_reads_what_the_layers_below_have_made_of_the_text_before():
    made = model(num_layers=2, recurrent=RecurrentOptions(skip="highway")).eval()
    (short, long) = zoo.gate_activations(made, ["the dog", "the dog eats"], direction="forward")
    torch.testing.assert_close(short.gates["input"], long.gates["input"][:2])
    (short, long) = zoo.gate_activations(made, ["dog eats", "the dog eats"], direction="backward")
    torch.testing.assert_close(short.gates["input"], long.gates["input"][1:])
    (upper,) = zoo.gate_activations(made, ["the dog"], layer=1)
    inputs = made.codec.dataset([["the", "dog"]], [["bad"]]).batch([0]).inputs
    below, _ = made.backbone.read_layer(0, made.embedding(inputs.word_ids, inputs.vector_ids), inputs.lengths)
    cell = made.backbone.cells[2]
    first = cell.gates(below[:, 0], cell.initial_state(1))
    torch.testing.assert_close(upper.gates["forget"][0], first["forget"][0].detach())


@pytest.mark.parametrize("name", ["pos-en-ewt", "translate-en-de-multi30k"])
def test_bundled_models_show_the_gates_of_their_first_layer(name):
    (found,) = zoo.gate_activations(zoo.from_pretrained(name), ["A dog runs. It barks."])
    assert {gate.shape[0] for gate in found.gates.values()} == {len(found.tokens)}


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(layer=1), "expected a layer from 0 to 0, got 1"),
        (dict(layer=-1), "got -1"),
        (dict(direction="up"), "unknown direction 'up': known are backward, forward"),
    ],
)
def test_unknown_layers_and_directions_are_refused(options, message):
    with pytest.raises(ZooError, match=message):
        zoo.gate_activations(model(), [TEXT], **options)
    with pytest.raises(ZooError, match="known are forward"):
        zoo.gate_activations(model(bidirectional=False), [TEXT], direction="backward")
    with pytest.raises(ZooError, match="at least one token"):
        zoo.gate_activations(model(), [""])
