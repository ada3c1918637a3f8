"""How far the gates of a recurrent layer are open while it reads a text.

Shapes: T tokens, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from zoo.errors import ZooError, unknown_name
from zoo.explanation.pictures import draw_gates
from zoo.explanation.reading import Reading, computing_exactly, read_all
from zoo.models.base import ZooModule
from zoo.models.evaluation import without_gradients
from zoo.nn.cells import CELLS, RecurrentCell, State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIRECTIONS = ("forward", "backward")


@runtime_checkable
class GatedCell(Protocol):
    """A cell that tells its gates."""

    def gates(self, x: Tensor, state: State) -> dict[str, Tensor]:
        """How far each gate is open at one time step, from 0 to 1: `(B, I)` and a state -> `(B, H)` each, by name."""


@dataclass(frozen=True, eq=False)
class GateActivations:
    """The gates of one recurrent layer in one direction, at each token of a text.

    Attributes:
        tokens: T tokens, in the order of the text.
        gates: by its name, how far each gate is open: `(T, H)` from 0 to 1. The update gate of a `gru` keeps the old
            state where it is open, as in torch; that of a `min_gru` lets the new one in. The gates of an `slstm` are
            shares of its normalized state.
        cell: the name of the cell's class.
        layer: from 0.
        direction: "forward" or "backward".
    """

    tokens: tuple[str, ...]
    gates: Mapping[str, Tensor]
    cell: str
    layer: int
    direction: str

    def figure(self) -> Figure:
        """A heat map for each gate, as a picture of matplotlib (extra `train`)."""
        return draw_gates(self.tokens, self.gates, f"{self.cell}, layer {self.layer}, {self.direction}")


def gate_activations(
    model: ZooModule, inputs: Sequence[str | Sequence[str]], *, layer: int = 0, direction: str = "forward"
) -> list[GateActivations]:
    """The activations of the gates of a recurrent layer over time.

    >>> classifier = zoo.from_pretrained("spam-en-sms")
    >>> (activations,) = zoo.gate_activations(classifier, ["Claim your free prize"])
    >>> [(name, tuple(gate.shape)) for name, gate in activations.gates.items()]
    [('input', (4, 200)), ('forget', (4, 200)), ('output', (4, 200))]

    Args:
        model: a model that `zoo.explain` explains. Of a `Seq2Seq`, it is a layer of the encoder.
        inputs: as for `explain`.
        layer: the recurrent layer, from 0.
        direction: "forward" or "backward".

    Returns:
        The activations for each input, in the given order; those of a text of several sentences one after the other,
        each read from its own beginning.

    Raises:
        ZooError: as `explain`; or there is no such layer or direction, or the cell has no gates (those that have some
            are listed).
    """
    view = without_gradients(model)
    with computing_exactly(model):
        return [_activations(readings, layer, direction) for readings in read_all(view, inputs)]


def _activations(readings: Sequence[Reading], layer: int, direction: str) -> GateActivations:
    backbone = readings[0].backbone
    if isinstance(layer, bool) or not isinstance(layer, int) or not 0 <= layer < len(backbone.layers):
        raise ZooError(f"expected a layer from 0 to {len(backbone.layers) - 1}, got {layer!r}")
    known = DIRECTIONS[: backbone.directions]
    if direction not in known:
        raise unknown_name("direction", direction, known)
    cell = backbone.cells[layer * backbone.directions + DIRECTIONS.index(direction)]
    found = [_gates_of(cell, reading, layer, backwards=direction == "backward") for reading in readings]
    return GateActivations(
        tokens=tuple(token for reading in readings for token in reading.tokens),
        gates={name: torch.cat([gates[name] for gates in found]).cpu() for name in found[0]},
        cell=type(cell).__name__,
        layer=layer,
        direction=direction,
    )


def _gates_of(cell: RecurrentCell, reading: Reading, layer: int, *, backwards: bool) -> dict[str, Tensor]:
    """The gates at each token of one reading: `(T, H)` each."""
    x = reading.x
    for depth in range(layer):
        x, _ = reading.backbone.read_layer(depth, x, reading.lengths)
    steps = x.unbind(1)  # (1, *) each
    state = cell.initial_state(1)
    found: list[dict[str, Tensor]] = []
    for step in reversed(steps) if backwards else steps:
        gates = cell.gates(step, state) if isinstance(cell, GatedCell) else {}
        if not gates:
            gated = ", ".join(name for name, kind in CELLS.items() if _has_gates(kind))
            raise ZooError(
                f"a cell of the class {type(cell).__name__} has no gates to show: those of {gated} have some"
            )
        found.append(gates)
        _, state = cell.step(step, state)
    if backwards:
        found.reverse()
    return {name: torch.cat([gates[name] for gates in found]) for name in found[0]}


def _has_gates(kind: type[RecurrentCell]) -> bool:
    return bool(getattr(kind, "gate_names", ())) or hasattr(kind, "gate_name")
