"""The pointer of a pointer-generator network: a word is generated, or copied from the source (See et al. 2017).

Words of a source that the vocabulary lacks have ids behind the vocabulary, valid for one batch. Both together are the
extended vocabulary.

Shapes: B rows, S source positions, T target positions, K hypotheses per source, R = B * K rows of one step, V words, X
more words in the extended vocabulary, E features of an embedding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.nn.decoder import Decoded

# A lower bound of a probability, so that its logarithm has a gradient.
TINY = 1e-10


class Pointer(nn.Module):
    """P(w) = g P_generate(w) + (1 - g) * the attention to where w is in the source; g is a learned gate (eq. 8 and 9).

    Args:
        features_size: F of a decoder, see `zoo.nn.decoder`.
        embedding_size: E.
    """

    def __init__(self, features_size: int, embedding_size: int):
        super().__init__()
        self.gate = nn.Linear(features_size + embedding_size, 1)

    def forward(self, decoded: Decoded, x: Tensor, generated: Tensor, copies: Tensor, target: Tensor) -> Tensor:
        """The log-probability of known targets. No tensor here is as large as the vocabulary.

        Args:
            decoded: of the decoder, at all target positions.
            x: `(B, T, E)`, the decoder's inputs.
            generated: `(B, T)`, the log-probability of generating each target; any number where it is not in V.
            copies: `(B, S)`, the source in the extended vocabulary.
            target: `(B, T)`, in the extended vocabulary.

        Returns:
            `(B, T)`, in nats.
        """
        log_generate, log_copy = self._gate(decoded, x)  # (B, T) each
        same = copies[:, None] == target[..., None]  # (B, T, S)
        copied = (decoded.weights * same).sum(-1).clamp(min=TINY).log()  # (B, T)
        return torch.logaddexp(log_generate + generated, log_copy + copied)

    def distribution(self, decoded: Decoded, x: Tensor, generated: Tensor, copies: Tensor, extra: int) -> Tensor:
        """The log-probabilities of all words at one step.

        Args:
            decoded: of the decoder, at one step.
            x: `(R, E)`, the decoder's inputs.
            generated: `(R, V)`, log-probabilities of generating each word.
            copies: `(B, S)`, the source in the extended vocabulary.
            extra: X.

        Returns:
            `(R, V + X)`, in nats.
        """
        log_generate, log_copy = self._gate(decoded, x)  # (R,) each
        probability = F.pad((log_generate[:, None] + generated).exp(), (0, extra))  # (R, V + X)
        copies = copies.repeat_interleave(len(x) // len(copies), dim=0)  # (R, S)
        return probability.scatter_add(1, copies, log_copy.exp()[:, None] * decoded.weights).log()

    def _gate(self, decoded: Decoded, x: Tensor) -> tuple[Tensor, Tensor]:
        """log g and log(1 - g)."""
        features = torch.cat([decoded.features, x.to(decoded.features.dtype)], dim=-1)
        gate = self.gate(features).squeeze(-1).float()
        return F.logsigmoid(gate), F.logsigmoid(-gate)
