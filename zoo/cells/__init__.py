"""Recurrent cells: one layer, in one direction, behind one contract (`zoo.cells.contract.Cell`).

- `initial_state(rows)`: the state before the first step, a tuple of tensors `(B, *)`, the hidden state first;
- `step(x, state)`: one time step, `(B, I)` and a state -> output `(B, O)` and the next state;
- `scan(x, lengths, state)`: the whole sequence, `(B, T, I)` -> `(B, T, O)` and the state after each row's own last
  step, exact whatever the padding holds; `scan_together` does so for the two directions of a layer at once.

A new cell is one class and one line in `CELLS`.
"""

from __future__ import annotations

from torch import nn

from zoo.cells.checks import check_batch, check_states
from zoo.cells.classic import GRU, LSTM, RNN
from zoo.cells.contract import State
from zoo.cells.minimal import MinGRU, MinLSTM
from zoo.cells.options import RecurrentOptions
from zoo.cells.variants import SLSTM, CoupledLSTM, LayerNormLSTM, PeepholeLSTM, ProjectedLSTM
from zoo.errors import ZooError, unknown_name

__all__ = ["CELLS", "RecurrentOptions", "State", "check_batch", "check_states", "make_cell"]

CELLS: dict[str, type[nn.Module]] = {
    "lstm": LSTM,
    "gru": GRU,
    "rnn": RNN,
    "peephole_lstm": PeepholeLSTM,
    "cifg_lstm": CoupledLSTM,
    "layer_norm_lstm": LayerNormLSTM,
    "projected_lstm": ProjectedLSTM,
    "slstm": SLSTM,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
}

LAYER_OPTIONS = {"input_dropout", "skip"}  # what the backbone honours itself, whatever the cell


def make_cell(name: str, input_size: int, hidden_size: int, options: RecurrentOptions) -> nn.Module:
    """A cell of `CELLS` by its name.

    Raises:
        ValueError: an unknown name, or an option that the cell cannot honour (those that can are listed).
    """
    if name not in CELLS:
        raise unknown_name("cell", name, CELLS)
    for option in sorted(options.changed() - LAYER_OPTIONS - {"kernel"} - CELLS[name].honours):
        able = ", ".join(key for key, cell in CELLS.items() if option in cell.honours)
        raise ZooError(
            f"the cell {name!r} cannot honour {option}={getattr(options, option)!r}: leave it out, or use {able}"
        )
    if options.kernel not in ("auto", *CELLS[name].kernels):
        raise unknown_name(f"kernel of the cell {name!r}:", options.kernel, ("auto", *CELLS[name].kernels))
    if options.between_steps and options.kernel not in ("auto", "steps"):
        asked = " and ".join(options.between_steps)
        raise ZooError(f"kernel={options.kernel!r} cannot honour {asked}: leave kernel out, or use kernel='steps'")
    return CELLS[name](input_size, hidden_size, options)
