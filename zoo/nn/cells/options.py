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

    Raises:
        ZooError: an option is out of its range.
    """

    input_dropout: float = 0.0
    """Probability that a feature of the first layer's input is zero at all steps of a row (Gal & Ghahramani 2016)."""
    hidden_dropout: float = 0.0
    """Probability that a feature of the hidden state is zero at all steps of a row (Gal & Ghahramani 2016)."""
    weight_drop: float = 0.0
    """Probability that a recurrent weight is zero for a whole forward pass (Merity et al. 2018)."""
    zoneout: float = 0.0
    """Probability that a unit keeps its state for a step (Krueger et al. 2017, eq. 2); an slstm keeps only its hidden
    state. In evaluation every unit is updated, so that fast kernels can be used; the paper uses the expectation."""
    skip: str = "none"
    """The skip connection around every layer above the first: "none", "residual" (He et al. 2016) or "highway"
    (Srivastava et al. 2015), a gate that starts near the input."""
    forget_bias: float | None = None
    """Initial bias of the forget gate; None means 1 (Jozefowicz et al. 2015)."""
    projection_size: int | None = None
    """Output features O of a projected cell, at most the hidden size; None means half of the hidden size."""
    output_gate: str | None = None
    """The cell state that the output gate of a peephole cell reads: "current" (Gers & Schmidhuber 2000) or "previous".
    None means "current"."""
    kernel: str = "auto"
    """The implementation of the recurrence. "auto" chooses the fastest one; the others are for comparisons: "fused"
    (torch's kernel on the padded batch), "packed" (torch's kernel without the padding), "steps" (a loop), "by_hand" (a
    loop with its own backward pass) or "parallel" (a scan)."""

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
