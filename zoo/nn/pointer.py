"""The pointer of a pointer-generator network: words are generated, or copied from the source (See et al. 2017).

What a source has and the vocabulary has not gets an id of its own behind the vocabulary, for the time of a batch:
the extended vocabulary.

Shapes: B rows, S source positions, T target positions, R rows of one step (K of them to a source), V words, X words
more in the extended vocabulary, E features of an embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.decoder import Decoded

TINY = 1e-10  # of a probability: its logarithm has a gradient


class Pointer(nn.Module):
    """P(w) = g generated(w) + (1 - g) * the attention to where w stands in the source; g is a learned gate.

    Args:
        features_size: of a decoder's features.
        embedding_size: E.
    """

    def __init__(self, features_size: int, embedding_size: int):
        super().__init__()
        self.gate = nn.Linear(features_size + embedding_size, 1)

    def forward(self, decoded: Decoded, x: Tensor, generated: Tensor, copies: Tensor, target: Tensor) -> Tensor:
        """Log-probability of known targets.

        Args:
            decoded: of the decoder.
            x: `(B, T, E)`, its inputs.
            generated: `(B, T)`, log-probability of generating each target, whatever it is where that is impossible.
            copies: `(B, S)`, ids in the extended vocabulary.
            target: `(B, T)`, likewise.

        Returns:
            `(B, T)`, and nothing of it is of the size of a vocabulary.
        """
        generate, copy = self._gate(decoded, x)  # (B, T)
        same = copies[:, None] == target[..., None]  # (B, T, S)
        copied = (decoded.weights * same).sum(-1).clamp(min=TINY).log()  # (B, T)
        return torch.logaddexp(generate + generated, copy + copied)

    def distribution(self, decoded: Decoded, x: Tensor, generated: Tensor, copies: Tensor, extra: int) -> Tensor:
        """Log-probabilities of everything that one step may say.

        Args:
            decoded: of one step.
            x: `(R, E)`, its inputs.
            generated: `(R, V)`, log-probabilities.
            copies: `(B, S)`, ids in the extended vocabulary.
            extra: X.

        Returns:
            `(R, V + X)`.
        """
        generate, copy = self._gate(decoded, x)  # (R,)
        both = F.pad((generate[:, None] + generated).exp(), (0, extra))  # (R, V + X)
        copies = copies.repeat_interleave(len(x) // len(copies), dim=0)  # (R, S)
        return both.scatter_add(1, copies, copy.exp()[:, None] * decoded.weights).log()

    def _gate(self, decoded: Decoded, x: Tensor) -> tuple[Tensor, Tensor]:
        gate = self.gate(torch.cat([decoded.features, x.to(decoded.features.dtype)], dim=-1)).squeeze(-1).float()
        return F.logsigmoid(gate), F.logsigmoid(-gate)
