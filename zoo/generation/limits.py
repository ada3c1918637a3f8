"""What an output may be, whatever a model's probabilities: its length, its end and its repetitions.

Shapes: B sentences, R rows, V tokens of the vocabulary, P tokens of the longest prompt, t tokens so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.errors import ZooError

IMPOSSIBLE = float("-inf")
# Padding before a prompt that is shorter than others.
NOTHING = -1


@dataclass(frozen=True)
class Limits:
    """Constraints on every output, whatever the model's probabilities.

    Attributes:
        begin: the token before the first one, if there is no prompt.
        end: the token after the last one.
        max_length: the largest number of tokens without prompt and end; the output ends there.
        min_length: the smallest number of tokens without prompt and end.
        block_ngrams: the length of sequences that may not occur twice in a prompt and its output (Paulus et al. 2018);
            0 allows repetition. If that forbids every token, an output may end before `min_length`.

    Raises:
        ZooError: the lengths contradict each other, or a number is negative.
    """

    begin: int
    end: int
    max_length: int
    min_length: int = 0
    block_ngrams: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_length <= self.max_length or self.max_length < 1:
            raise ZooError(
                "expected 0 <= min_length <= max_length and a max_length of at least 1, "
                f"got min_length={self.min_length} and max_length={self.max_length}"
            )
        if self.block_ngrams < 0:
            raise ZooError(f"expected block_ngrams of 1 or more, or 0 to allow repetition, got {self.block_ngrams}")

    def first(self, prompt: Tensor | None, sentences: Tensor) -> tuple[Tensor, Tensor]:
        """The tokens that the first step reads, `(B,)`, and all tokens that exist before it, `(B, P)`.

        Args:
            prompt: `(B, P)`, or None.
            sentences: the numbers of the sentences, `(B,)`.

        Raises:
            ZooError: the prompt is not `(B, P)` of integers, or its last token is `NOTHING`.
        """
        if prompt is None:
            return torch.full_like(sentences, self.begin), sentences.new_empty(len(sentences), 0)
        is_prompt = prompt.ndim == 2 and len(prompt) == len(sentences) and prompt.shape[1] > 0
        if not is_prompt or prompt.is_floating_point() or (prompt[:, -1] < 0).any():
            raise ZooError(
                f"expected a prompt of integers of shape ({len(sentences)}, P), padded on the left, P at least 1, got "
                f"{tuple(prompt.shape)} of {prompt.dtype}"
            )
        return prompt[:, -1], prompt

    def apply(self, log_probabilities: Tensor, written: Tensor, length: int) -> Tensor:
        """Gives every token that is not allowed next the log-probability -inf.

        Args:
            log_probabilities: `(R, V)`, changed in place.
            written: the tokens of prompts and outputs, `(R, t)`.
            length: the number of tokens in `written` that belong to the output.

        Returns:
            `log_probabilities`.
        """
        end = log_probabilities[:, self.end].clone()  # (R,)
        if length >= self.max_length:
            log_probabilities.fill_(IMPOSSIBLE)
            log_probabilities[:, self.end] = end
            return log_probabilities
        if self.block_ngrams:
            self._block_repetition(log_probabilities, written)
        if length < self.min_length:
            log_probabilities[:, self.end] = IMPOSSIBLE
            is_stuck = (log_probabilities == IMPOSSIBLE).all(1)  # (R,)
            log_probabilities[:, self.end] = torch.where(is_stuck, end, IMPOSSIBLE)
        return log_probabilities

    def _block_repetition(self, log_probabilities: Tensor, written: Tensor) -> None:
        """Forbids, in place, every token that would complete an n-gram of `written` once more."""
        n = self.block_ngrams
        t = written.shape[1]
        if t < n:
            return
        end = log_probabilities[:, self.end].clone()  # (R,)
        ngrams = written.unfold(1, n, 1)  # (R, t - n + 1, n)
        last_tokens = written[:, None, t - n + 1 :]  # (R, 1, n - 1)
        repeats = (ngrams[..., :-1] == last_tokens).all(-1) & (ngrams[..., -1] != NOTHING)  # (R, t - n + 1)
        # An n-gram that does not repeat blocks the end instead, whose log-probability is restored.
        blocked = torch.where(repeats, ngrams[..., -1], self.end)
        log_probabilities.scatter_(1, blocked, IMPOSSIBLE)
        log_probabilities[:, self.end] = end
