"""Generates an output token by token, greedily or by sampling; `zoo.generation.beam` searches for the best one.

The model is a function

    step(tokens (R,), state, source) -> log-probabilities (R, V), state

that reads the token which each row wrote last. The caller may change its log-probabilities in place. `state` is what
changes from step to step, `source` what every step reads: nested tuples of tensors, `(R, *)` in a state and `(B, *)` in
a source. Here a sentence is a row, R = B; in a beam it has several.

An output may go on from a prompt: `(B, P)` tokens, filled up on the left with `NOTHING`. The state is then the one
after all of the prompt but its last token, which the first step reads. Without a prompt that token is `Limits.begin`.

Shapes: B sentences, R rows, V tokens, P tokens of the longest prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError

Nested = tuple  # of tensors, or of such tuples
Step = Callable[[Tensor, Nested, Nested], tuple[Tensor, Nested]]
IMPOSSIBLE = float("-inf")
# Stands before a prompt that is shorter than others.
NOTHING = -1


class Hypothesis(NamedTuple):
    """An output and how good it is.

    Attributes:
        tokens: ids, without prompt, begin and end.
        log_probability: the model's own, of these tokens and the end after them.
        score: the log-probability with the penalties of the search; what hypotheses are ranked by.
    """

    tokens: list[int]
    log_probability: float
    score: float


@dataclass(frozen=True)
class Limits:
    """What every output keeps to, whatever the model thinks of it.

    Attributes:
        begin: the token before the first, where there is no prompt.
        end: the token after the last.
        max_length: tokens at most, prompt and end not counted; there an output has to end.
        min_length: tokens at least, likewise.
        block_ngrams: no sequence of so many tokens occurs twice in a prompt and its output (Paulus et al. 2018); 0
            allows all. Where that leaves a row without any token, it may end before `min_length`.

    Raises:
        ZooError: the lengths contradict each other, or a number is negative.
    """

    begin: int
    end: int
    max_length: int
    min_length: int = 0
    block_ngrams: int = 0

    def __post_init__(self):
        if not 0 <= self.min_length <= self.max_length or self.max_length < 1:
            raise ZooError(
                "expected 0 <= min_length <= max_length and a max_length of at least 1, "
                f"got min_length={self.min_length} and max_length={self.max_length}"
            )
        if self.block_ngrams < 0:
            raise ZooError(f"expected block_ngrams of 1 or more, or 0 to allow repetition, got {self.block_ngrams}")

    def first(self, prompt: Tensor | None, rows: Tensor) -> tuple[Tensor, Tensor]:
        """What the first step reads, `(B,)`, and all tokens that are there already, `(B, P)`.

        Raises:
            ZooError: a prompt that is no `(B, P)` of integers, or whose last token is `NOTHING`.
        """
        if prompt is None:
            return torch.full_like(rows, self.begin), rows.new_empty(len(rows), 0)
        wrong = prompt.ndim != 2 or len(prompt) != len(rows) or not prompt.shape[1] or prompt.is_floating_point()
        if wrong or bool((prompt[:, -1] < 0).any()):
            raise ZooError(
                f"expected a prompt of integers of shape ({len(rows)}, P), filled up on the left, P at least 1, got "
                f"{tuple(prompt.shape)} of {prompt.dtype}"
            )
        return prompt[:, -1], prompt

    def apply(self, log_probabilities: Tensor, written: Tensor, new: int) -> Tensor:
        """`(R, V)` after `written (R, t)`, changed in place: -inf for each token that is not allowed there.

        Of `written`, the last `new` tokens count against the lengths; those before are the prompt.
        """
        n, t = self.block_ngrams, written.shape[1]
        allowed, end = log_probabilities, log_probabilities[:, self.end].clone()  # (R, V) and (R,)
        if new >= self.max_length:
            allowed.fill_(IMPOSSIBLE)
            allowed[:, self.end] = end
            return allowed
        if n and t >= n:
            windows = written.unfold(1, n, 1)  # (R, t - n + 1, n)
            repeated = (windows[..., :-1] == written[:, None, t - n + 1 :]).all(-1)  # (R, t - n + 1)
            seen = repeated & (windows[..., -1] != NOTHING)
            # Tokens that repeat nothing are "blocked" at the end's place, which is restored below.
            blocked = torch.where(seen, windows[..., -1], self.end)
            allowed.scatter_(1, blocked, IMPOSSIBLE)
            allowed[:, self.end] = end
        if new < self.min_length:
            allowed[:, self.end] = IMPOSSIBLE
            stuck = (allowed == IMPOSSIBLE).all(1)
            allowed[:, self.end] = torch.where(stuck, end, IMPOSSIBLE)
        return allowed


def greedy(
    step: Step, state: Nested, source: Nested, limits: Limits, *, prompt: Tensor | None = None
) -> list[Hypothesis]:
    """The most probable token at each step.

    Args:
        step: the model, as described above.
        state: before the first step, `(B, *)`, at least one tensor.
        source: `(B, *)`.
        limits: lengths, repetition, and the tokens of begin and end.
        prompt: `(B, P)`, as described above; None to start from `limits.begin`.

    Returns:
        A hypothesis for each sentence; its score is its log-probability.
    """
    return _write(step, state, source, limits, prompt, choose=lambda allowed, rows, t: allowed.argmax(-1))


def sample(
    step: Step,
    state: Nested,
    source: Nested,
    limits: Limits,
    *,
    noise: Tensor,
    prompt: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> list[Hypothesis]:
    """Tokens drawn from the model's distribution. A sentence's output depends on its own noise alone.

    Args:
        step, state, source, limits, prompt: as in `greedy`.
        noise: uniform random numbers, `(B, max_length + 1)`, such as
            `torch.rand(B, limits.max_length + 1, generator=torch.Generator().manual_seed(0))`.
        temperature: below 1 prefers probable tokens, above 1 improbable ones.
        top_k: draws from the k most probable tokens alone; 0 from all.
        top_p: draws from the fewest tokens that have this probability together (Holtzman et al. 2020).

    Returns:
        A hypothesis for each sentence; its score is its log-probability.
    """
    if temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ZooError(
            "expected temperature > 0, top_k >= 0 and 0 < top_p <= 1, "
            f"got temperature={temperature}, top_k={top_k} and top_p={top_p}"
        )

    def draw(allowed: Tensor, rows: Tensor, t: int) -> Tensor:
        values, tokens = (allowed / temperature).sort(dim=-1, descending=True, stable=True)  # (R, V)
        values = values[:, :top_k] if top_k else values
        mass = values.softmax(-1).cumsum(-1)  # (R, V)
        kept = (mass[:, :-1] < top_p) & (values[:, 1:] > IMPOSSIBLE)  # where the tokens before do not suffice
        final = kept.sum(-1, keepdim=True)  # (R, 1), place of the last token that is kept
        aim = noise[rows, t, None].to(mass) * mass.gather(1, final)  # (R, 1)
        place = torch.minimum((mass <= aim).sum(-1, keepdim=True), final)
        return tokens.gather(1, place).squeeze(1)

    return _write(step, state, source, limits, prompt, choose=draw)


def _write(
    step: Step,
    state: Nested,
    source: Nested,
    limits: Limits,
    prompt: Tensor | None,
    *,
    choose: Callable[[Tensor, Tensor, int], Tensor],
) -> list[Hypothesis]:
    """One output for each sentence; `choose(allowed (R, V), sentences (R,), t)` gives the next tokens `(R,)`."""
    first = first_tensor(state)
    rows = torch.arange(len(first), device=first.device)  # (R,) sentences that go on
    tokens, written = limits.first(prompt, rows)  # (R,) and (R, P + t)
    given = written.shape[1]  # P
    total = torch.zeros(len(rows), device=first.device)  # (R,)
    outputs: list[Hypothesis | None] = [None] * len(rows)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        allowed = limits.apply(log_probabilities.float(), written, t)
        tokens = choose(allowed, rows, t)
        total = total + allowed.gather(1, tokens[:, None]).squeeze(1)
        ended = tokens == limits.end
        done, left = ended.nonzero().squeeze(1), (~ended).nonzero().squeeze(1)
        for row, ids, score in zip(*(part[done].tolist() for part in (rows, written[:, given:], total)), strict=True):
            outputs[row] = Hypothesis(ids, score, score)
        if not len(left):
            break
        written = torch.cat([written, tokens[:, None]], dim=1)
        if len(left) < len(rows):
            rows, tokens, written, total, state, source = select((rows, tokens, written, total, state, source), left)
    return outputs


def select(parts: Nested, rows: Tensor) -> Nested:
    """The given rows of every tensor in nested tuples, which keep their types."""
    make = getattr(parts, "_make", tuple)
    return make(select(part, rows) if isinstance(part, tuple) else part.index_select(0, rows) for part in parts)


def first_tensor(parts: Nested) -> Tensor:
    """The first one in nested tuples: its rows and its device are those of all."""
    return first_tensor(parts[0]) if isinstance(parts, tuple) else parts
