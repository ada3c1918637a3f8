"""Recurrent cells: one layer in one direction, behind one protocol (`zoo.nn.cells.base.RecurrentCell`).

A new cell is one class and one line in `CELLS`.
"""

from __future__ import annotations

from zoo.errors import ZooError, unknown_name
from zoo.nn.cells.base import RecurrentCell
from zoo.nn.cells.checks import check_batch, check_states
from zoo.nn.cells.classic import GRU, LSTM, RNN
from zoo.nn.cells.kernels import State, choose_kernel, scan_layer
from zoo.nn.cells.minimal import MinGRU, MinLSTM
from zoo.nn.cells.options import RecurrentOptions
from zoo.nn.cells.variants import SLSTM, CoupledLSTM, LayerNormLSTM, PeepholeLSTM, ProjectedLSTM

__all__ = [
    "CELLS",
    "RecurrentCell",
    "RecurrentOptions",
    "State",
    "check_batch",
    "check_states",
    "choose_kernel",
    "kernel_names",
    "make_cell",
    "scan_layer",
]

CELLS: dict[str, type[RecurrentCell]] = {
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

# The options that the backbone supports itself, and those that are checked by their value.
NOT_OF_CELLS = {"input_dropout", "skip", "kernel"}


def kernel_names(cell: str) -> list[str]:
    """The kernels of a cell of `CELLS`, in the order in which `kernel="auto"` tries them."""
    return [kernel.name for kernel in CELLS[cell].kernels]


def make_cell(name: str, input_size: int, hidden_size: int, options: RecurrentOptions) -> RecurrentCell:
    """A cell of `CELLS` by its name.

    Args:
        name: a key of `CELLS`.
        input_size: I, features per step.
        hidden_size: H, hidden units.
        options: see `RecurrentOptions`.

    Raises:
        ZooError: an unknown name, or an option that the cell does not support (those that do are listed).
    """
    if name not in CELLS:
        raise unknown_name("cell", name, CELLS)
    kind = CELLS[name]
    for option in sorted(options.changed() - NOT_OF_CELLS - kind.supported_options):
        supporting = ", ".join(key for key, cell in CELLS.items() if option in cell.supported_options)
        raise ZooError(
            f"the cell {name!r} does not support {option}={getattr(options, option)!r}: "
            f"leave it out, or use {supporting}"
        )
    if options.kernel not in ("auto", *kernel_names(name)):
        raise unknown_name(f"kernel of the cell {name!r}:", options.kernel, ("auto", *kernel_names(name)))
    able = [kernel.name for kernel in kind.kernels if kernel.supports_step_regularisers]
    if options.step_regularisers and options.kernel not in ("auto", *able):
        asked = " and ".join(options.step_regularisers)
        raise ZooError(
            f"kernel={options.kernel!r} does not support {asked}: leave kernel out, or use kernel={able[0]!r}"
        )
    return kind(input_size, hidden_size, options)
