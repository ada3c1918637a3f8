"""Options of recurrent layers beyond their sizes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import isfinite

from zoo.errors import ZooError
from zoo.nn.dropout import check_probability
from zoo.options import Options

REGULARISERS = ("hidden_dropout", "input_dropout", "weight_drop", "zoneout")
# Those that act from one step to the next, as only a loop over time steps can.
STEP_REGULARISERS = ("hidden_dropout", "zoneout")


@dataclass(frozen=True)
class RecurrentOptions(Options):
    """Options of recurrent layers. An option that a cell does not support is an error.

    Attributes:
        input_dropout: probability that a row loses a feature of the first layer's input at all its steps (Gal &
            Ghahramani 2016).
        hidden_dropout: the same for the hidden state on its way to the next step.
        weight_drop: probability of zeroing a weight from state to gates, drawn once a pass (Merity et al. 2018).
        zoneout: probability that a unit keeps its state for a step (Krueger et al. 2017, eq. 2); of an slstm's state
            only the hidden part. In evaluation every unit changes, so that the fast kernels can be used; the paper
            takes the expectation instead.
        skip: how a layer above the first carries its input past itself: "none", "residual" (He et al. 2016, added) or
            "highway" (Srivastava et al. 2015, mixed by a gate that starts near the input).
        forget_bias: the initial bias of the forget gate; None for 1 (Jozefowicz et al. 2015).
        projection_size: O, outputs of a projected cell, at most H; None for half its units.
        output_gate: the cell state that a peephole's output gate sees: "current" (Gers & Schmidhuber 2000, the default
            when None) or "previous".
        kernel: how a cell goes through a sequence. "auto" takes the fastest known; the others are there to compare:
            "fused" (torch's own kernel over the padded batch), "packed" (the same without the padding), "steps" (a
            loop), "by_hand" (a loop with a backward pass of its own) or "parallel" (a scan).

    Raises:
        ZooError: a value outside its range.
    """

    input_dropout: float = 0.0
    hidden_dropout: float = 0.0
    weight_drop: float = 0.0
    zoneout: float = 0.0
    skip: str = "none"
    forget_bias: float | None = None
    projection_size: int | None = None
    output_gate: str | None = None
    kernel: str = "auto"

    def __post_init__(self) -> None:
        for name in REGULARISERS:
            check_probability(name, getattr(self, name))
        bias = self.forget_bias
        if bias is not None and not (isinstance(bias, int | float) and isfinite(bias)):
            raise ZooError(f"expected a forget_bias that is a finite number, or None, got {bias!r}")
        size = self.projection_size
        if size is not None and type(size) is not int:
            raise ZooError(f"expected a projection_size that is a whole number, or None, got {size!r}")

    @property
    def first_forget_bias(self) -> float:
        """The initial bias of a forget gate."""
        return 1.0 if self.forget_bias is None else self.forget_bias

    @property
    def regularisers(self) -> list[str]:
        """The names of the regularisers in use; all of them act in training only."""
        return [name for name in REGULARISERS if getattr(self, name)]

    @property
    def step_regularisers(self) -> list[str]:
        """The names of the regularisers in use that act from one step to the next."""
        return [name for name in STEP_REGULARISERS if getattr(self, name)]

    def changed(self) -> set[str]:
        """The names of the options that differ from their defaults."""
        return {field.name for field in fields(self) if getattr(self, field.name) != field.default}
