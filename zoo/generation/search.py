"""Generates outputs token by token, greedily or by sampling; `zoo.generation.beam` searches for the best outputs.

The model is a function

    step(tokens (R,), state, source) -> log-probabilities (R, V), state

that reads the last token of each row. The caller may change its log-probabilities in place. The state is what changes
from step to step, the source is what every step reads. Both are nested tuples of tensors, `(R, *)` in a state and
`(B, *)` in a source. Greedy search and sampling have one row for each sentence, a beam search has several.

An output may continue a prompt: `(B, P)` tokens, padded on the left with `NOTHING`. The state is then the one after all
tokens of the prompt except the last, which the first step reads. Without a prompt the first step reads `Limits.begin`.

Shapes: B sentences, R rows, V tokens of the vocabulary, P tokens of the longest prompt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generation.limits import IMPOSSIBLE, Limits

Nested: TypeAlias = "tuple[Tensor | Nested, ...]"
State = TypeVar("State", bound=Nested)
Source = TypeVar("Source", bound=Nested)
Step = Callable[[Tensor, State, Source], tuple[Tensor, State]]
# The next tokens (R,), from their log-probabilities (R, V), the numbers of the sentences (R,), and the tokens before.
Choose = Callable[[Tensor, Tensor, int], Tensor]


class Hypothesis(NamedTuple):
    """An output and its probability.

    Attributes:
        tokens: ids without the prompt, the begin and the end.
        log_probability: the model's log-probability of these tokens and the end.
        score: the log-probability with the penalties of the search, by which hypotheses are ranked.
    """

    tokens: list[int]
    log_probability: float
    score: float


class Written(NamedTuple):
    """What one step of a search has written, for the outputs that had not ended before."""

    sentences: Tensor  # (R,) their numbers, ascending
    tokens: Tensor  # (R,) each its next token, or the end
    total: Tensor  # (R,) the log-probability of all tokens so far


def write(
    step: Step[State, Source],
    state: State,
    source: Source,
    limits: Limits,
    choose: Choose,
    *,
    prompt: Tensor | None = None,
) -> Iterator[Written]:
    """Writes one output for each sentence, a token at a time, until all have ended.

    Args:
        step: the model, as described above.
        state: the state before the first step, `(B, *)`, with at least one tensor.
        source: `(B, *)`.
        limits: the lengths, the repetition, and the tokens of begin and end.
        choose: `most_probable`, or what `sampler` returns.
        prompt: `(B, P)`, as described above; None to start from `limits.begin`.
    """
    first = first_tensor(state)
    # The sentences that have not ended.
    sentences = torch.arange(len(first), device=first.device)  # (R,)
    tokens, written = limits.first(prompt, sentences)  # (R,) and (R, P + t)
    total = torch.zeros(len(sentences), device=first.device)  # (R,)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        allowed = limits.apply(log_probabilities.float(), written, t)
        tokens = choose(allowed, sentences, t)
        total = total + allowed.gather(1, tokens[:, None]).squeeze(1)
        yield Written(sentences, tokens, total)
        left = (tokens != limits.end).nonzero().squeeze(1)
        if not len(left):
            return
        written = torch.cat([written, tokens[:, None]], dim=1)
        if len(left) < len(sentences):
            sentences, tokens, written, total = select((sentences, tokens, written, total), left)
            state = select(state, left)
            source = select(source, left)


def most_probable(allowed: Tensor, sentences: Tensor, t: int) -> Tensor:
    """The most probable token of each row: log-probabilities `(R, V)` -> `(R,)`."""
    return allowed.argmax(-1)


def sampler(noise: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Choose:
    """Draws tokens from the model's distribution. The output for a sentence depends only on its own noise.

    Args:
        noise: uniform random numbers, `(B, max_length + 1)`, such as
            `torch.rand(B, limits.max_length + 1, generator=torch.Generator().manual_seed(0))`.
        temperature: below 1 prefers probable tokens, above 1 improbable ones.
        top_k: draws from the k most probable tokens; 0 draws from all.
        top_p: draws from the fewest tokens that together have this probability (Holtzman et al. 2020).

    Raises:
        ZooError: a temperature, top_k or top_p that is out of range.
    """
    if temperature <= 0 or top_k < 0 or not 0 < top_p <= 1:
        raise ZooError(
            "expected temperature > 0, top_k >= 0 and 0 < top_p <= 1, "
            f"got temperature={temperature}, top_k={top_k} and top_p={top_p}"
        )

    def draw(allowed: Tensor, sentences: Tensor, t: int) -> Tensor:
        values, tokens = (allowed / temperature).sort(dim=-1, descending=True, stable=True)  # (R, V)
        if top_k:
            values = values[:, :top_k]
        mass = values.softmax(-1).cumsum(-1)  # (R, V)
        # A token is kept if those before it do not reach top_p.
        kept = (mass[:, :-1] < top_p) & (values[:, 1:] > IMPOSSIBLE)
        last_kept = kept.sum(-1, keepdim=True)  # (R, 1)
        aim = noise[sentences, t, None].to(mass) * mass.gather(1, last_kept)  # (R, 1)
        position = torch.minimum((mass <= aim).sum(-1, keepdim=True), last_kept)
        return tokens.gather(1, position).squeeze(1)

    return draw


def greedy(
    step: Step[State, Source], state: State, source: Source, limits: Limits, *, prompt: Tensor | None = None
) -> list[Hypothesis]:
    """Chooses the most probable token at each step.

    >>> table = torch.tensor([[0.0, 0.0, 0.6, 0.4], [0.0, 1.0, 0.0, 0.0], [0.0, 0.3, 0.3, 0.4], [0.0, 0.9, 0.0, 0.1]])
    >>> def step(tokens, state, source):
    ...     return table[tokens].log(), state
    >>> (output,) = greedy(step, (torch.zeros(1),), (), Limits(begin=0, end=1, max_length=5))
    >>> output.tokens, round(output.log_probability, 2)
    ([2, 3], -1.53)

    Args:
        step, state, source, limits, prompt: as in `write`.

    Returns:
        A hypothesis for each sentence; its score is its log-probability.
    """
    return _hypotheses(write(step, state, source, limits, most_probable, prompt=prompt), limits.end)


def sample(
    step: Step[State, Source],
    state: State,
    source: Source,
    limits: Limits,
    *,
    noise: Tensor,
    prompt: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> list[Hypothesis]:
    """Draws tokens from the model's distribution.

    Args:
        step, state, source, limits, prompt: as in `write`.
        noise, temperature, top_k, top_p: as in `sampler`.

    Returns:
        A hypothesis for each sentence; its score is its log-probability.

    Raises:
        ZooError: a temperature, top_k or top_p that is out of range.
    """
    choose = sampler(noise, temperature=temperature, top_k=top_k, top_p=top_p)
    return _hypotheses(write(step, state, source, limits, choose, prompt=prompt), limits.end)


def _hypotheses(steps: Iterator[Written], end: int) -> list[Hypothesis]:
    """The outputs that have been written when all steps are taken, in the order of their sentences."""
    tokens: defaultdict[int, list[int]] = defaultdict(list)
    totals: dict[int, float] = {}
    for written in steps:
        for sentence, token, total in zip(*(part.tolist() for part in written), strict=True):
            if token == end:
                totals[sentence] = total
            else:
                tokens[sentence].append(token)
    return [Hypothesis(tokens[n], log_probability=totals[n], score=totals[n]) for n in sorted(totals)]


def select(parts: State, rows: Tensor) -> State:
    """The given rows of every tensor in nested tuples, whose types are kept."""
    selected = [select(part, rows) if isinstance(part, tuple) else part.index_select(0, rows) for part in parts]
    # A named tuple is made by its own method, which the type of a tuple does not have.
    make: Any = getattr(parts, "_make", tuple)
    kept: State = make(selected)
    return kept


def first_tensor(parts: Tensor | Nested) -> Tensor:
    """The first tensor in nested tuples: all of them have its number of rows and its device."""
    return first_tensor(parts[0]) if isinstance(parts, tuple) else parts
