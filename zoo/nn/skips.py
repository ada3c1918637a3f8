"""Skip connections around the recurrent layers above the first.

Shapes: B rows, T time steps, H features of a layer's input and output.
"""

from __future__ import annotations

from torch import Tensor, nn


class NoSkip(nn.Module):
    """No skip connection: the input of the next layer is the output y.

    Args:
        size: H.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The input x and the output y of a layer, `(B, T, H)` or `(B, H)` -> the same shape."""
        return y

    def extra_repr(self) -> str:
        return f"{self.size}"


class Residual(NoSkip):
    """The input of a layer is added to its output (He et al. 2016): x + y."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class Highway(NoSkip):
    """A gate mixes the input and the output of a layer (Srivastava et al. 2015, eq. 3).

    The bias of the gate starts at -1, so a new layer passes mostly its input on.
    """

    def __init__(self, size: int):
        super().__init__(size)
        self.gate = nn.Linear(size, size)
        nn.init.constant_(self.gate.bias, -1.0)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gate: Tensor = self.gate(x).sigmoid()
        return x + gate * (y - x)


SKIPS: dict[str, type[NoSkip]] = {"none": NoSkip, "residual": Residual, "highway": Highway}
