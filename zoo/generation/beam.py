"""Beam search: the best outputs of a step function, which `zoo.generation.search` describes.

A beam of K hypotheses has R = B * K rows, those of a sentence side by side. The source is never copied for them. The
first step has one row for each sentence, because nothing is written yet.

Shapes: B sentences, K hypotheses, R rows, V tokens of the vocabulary, L tokens of the longest output with its end, C
continuations of a sentence that are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.errors import ZooError
from zoo.generation.limits import IMPOSSIBLE, Limits
from zoo.generation.search import Hypothesis, Source, State, Step, first_tensor, select


def beam_search(
    step: Step[State, Source],
    state: State,
    source: Source,
    limits: Limits,
    *,
    beam: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    coverage: Callable[[State, Source], Tensor] | None = None,
    prompt: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """The best outputs among those whose beginnings stay among the K most probable ones.

    With log-probability p, length l (its end included) and attention a over the source, the score of an output is
    p / ((5 + l) / 6) ** length_penalty + coverage_penalty * sum over the source of log min(1, sum of a)
    (Wu et al. 2016). A sentence leaves the batch when K outputs have ended, or as soon as no unfinished one can become
    one of its `n_best`.

    >>> table = torch.tensor([[0.0, 0.0, 0.6, 0.4], [0.0, 1.0, 0.0, 0.0], [0.0, 0.3, 0.3, 0.4], [0.0, 0.9, 0.0, 0.1]])
    >>> def step(tokens, state, source):
    ...     return table[tokens].log(), state
    >>> ((best, second),) = beam_search(
    ...     step, (torch.zeros(1),), (), Limits(begin=0, end=1, max_length=5), beam=2, n_best=2
    ... )
    >>> best.tokens, round(best.log_probability, 2)
    ([3], -1.02)
    >>> second.tokens, round(second.log_probability, 2)
    ([2, 3], -1.53)

    Args:
        step, state, source, limits, prompt: as in `greedy`; the state has one row for each sentence.
        beam: K.
        n_best: the number of outputs to return for each sentence, at most K.
        length_penalty: 0 prefers short outputs; 1 is about the mean log-probability of a token.
        coverage_penalty: the weight of source positions that received little attention.
        coverage: the sum above for a state and a source, `(R,)`; needed for a coverage penalty.

    Returns:
        The hypotheses of each sentence, the best first: `n_best`, or as many as the limits allow.

    Raises:
        ZooError: a number that is out of range, or a coverage penalty without `coverage`.
    """
    check_search(beam, n_best, length_penalty, coverage_penalty)
    if coverage_penalty and coverage is None:
        raise ZooError("a coverage penalty needs a model with attention: leave it out")
    first = first_tensor(state)
    # The sentences that go on.
    sentences = torch.arange(len(first), device=first.device)  # (B,)
    tokens, given = limits.first(prompt, sentences)  # (R,) and (B, P)
    prompt_length = given.shape[1]
    written = given[:, None]  # (B, K, P + t)
    total = torch.zeros(len(sentences), 1, device=first.device)  # (B, K)
    ended = _Ended.none(total.expand(-1, beam), limits)
    outputs: list[list[Hypothesis]] = [[] for _ in sentences]
    largest_factor = _length_factor(limits.max_length + 1, length_penalty)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        allowed = limits.apply(log_probabilities.float(), written.flatten(0, 1), t)  # (R, V)
        hypotheses = total.shape[1]
        best, parents, next_tokens = _best_continuations(total, allowed, 2 * beam)  # (B, C)
        ends = next_tokens == limits.end  # (B, C)

        # Of the best K continuations, those that end are finished.
        finished = best.masked_fill(~ends, IMPOSSIBLE)[:, :beam]  # (B, K)
        score = finished / _length_factor(t + 1, length_penalty)
        if coverage_penalty and coverage is not None:
            covered = coverage(state, source).view_as(total)
            score = score + coverage_penalty * covered.gather(1, parents[:, :beam])
        new_tokens = written[..., prompt_length:]  # (B, K, t)
        ended = ended.merge(finished, score, _gather(new_tokens, parents[:, :beam]), t)

        # The best K that do not end go on. At most one continuation of each hypothesis ends, so that at least C - K
        # do not.
        going = min(beam, best.shape[1] - hypotheses)
        order = ends.to(torch.uint8).argsort(dim=1, stable=True)[:, :going]  # (B, K)
        total = best.gather(1, order)
        parents = parents.gather(1, order)
        next_tokens = next_tokens.gather(1, order)
        written = torch.cat([_gather(written, parents), next_tokens[..., None]], dim=-1)

        beam_is_full = ended.score[:, -1] > IMPOSSIBLE  # (B,)
        no_better_one = total[:, 0] / largest_factor <= ended.score[:, n_best - 1]  # (B,)
        is_done = beam_is_full | no_better_one
        if t == limits.max_length:
            is_done[:] = True
        done = is_done.nonzero().squeeze(1)
        for sentence, found in zip(sentences[done].tolist(), ended.hypotheses(done, n_best), strict=True):
            outputs[sentence] = found
        left = (~is_done).nonzero().squeeze(1)
        if not len(left):
            break
        rows = left[:, None] * hypotheses + parents[left]  # (B, K)
        state = select(state, rows.flatten())
        if len(left) < len(sentences):
            source = select(source, left)
            ended = select(ended, left)
            sentences, total, written, next_tokens = select((sentences, total, written, next_tokens), left)
        tokens = next_tokens.flatten()
    return outputs


def check_search(beam: int, n_best: int, length_penalty: float, coverage_penalty: float) -> None:
    """Refuses the options of a beam search that are out of range.

    Raises:
        ZooError: one of them is.
    """
    if not 1 <= n_best <= beam:
        raise ZooError(f"expected a beam of at least 1 and an n_best from 1 to the beam, got {beam} and {n_best}")
    if not (length_penalty >= 0 and coverage_penalty >= 0):
        raise ZooError(
            "expected penalties of 0 or more, "
            f"got length_penalty={length_penalty} and coverage_penalty={coverage_penalty}"
        )


class _Ended(NamedTuple):
    """The best outputs that have ended so far, the best first; a score of -inf stands for none."""

    log_probability: Tensor  # (B, K)
    score: Tensor  # (B, K)
    tokens: Tensor  # (B, K, L)
    lengths: Tensor  # (B, K)

    @classmethod
    def none(cls, total: Tensor, limits: Limits) -> _Ended:
        """No outputs; `total` has the shape and the device."""
        nothing = torch.full_like(total, IMPOSSIBLE)
        lengths = torch.zeros_like(total, dtype=torch.long)
        return cls(nothing, nothing, lengths.new_zeros(*total.shape, limits.max_length), lengths)

    def merge(self, log_probability: Tensor, score: Tensor, tokens: Tensor, t: int) -> _Ended:
        """The best K of these outputs and of C more, whose tokens are `(B, C, t)`."""
        beam = self.score.shape[1]
        padded = F.pad(tokens, (0, self.tokens.shape[-1] - t))
        more = _Ended(log_probability, score, padded, torch.full_like(score, t, dtype=torch.long))
        both = _Ended(*(torch.cat(pair, dim=1) for pair in zip(self, more, strict=True)))
        order = both.score.argsort(dim=1, descending=True, stable=True)[:, :beam]  # (B, K)
        return _Ended(*(_gather(part, order) for part in both))

    def hypotheses(self, sentences: Tensor, n_best: int) -> list[list[Hypothesis]]:
        """The best outputs of the given sentences."""
        parts = [part[sentences, :n_best].tolist() for part in (self.tokens, self.lengths, self.log_probability)]
        scores = self.score[sentences, :n_best].tolist()
        return [
            [
                Hypothesis(ids[:length], log_probability, score)
                for ids, length, log_probability, score in zip(*columns, strict=True)
                if score > IMPOSSIBLE
            ]
            for columns in zip(*parts, scores, strict=True)
        ]


def _best_continuations(total: Tensor, allowed: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best continuations of a sentence's hypotheses, the best first.

    Args:
        total: the log-probabilities of the hypotheses, `(B, K)`.
        allowed: those of the next tokens, `(R, V)`.
        count: the number of continuations at most.

    Returns:
        Their log-probabilities, hypotheses and next tokens, `(B, C)` each.
    """
    # The best continuations of a sentence are among the best of each hypothesis.
    each = min(count, allowed.shape[1])
    values, tokens = allowed.topk(each)  # (R, each)
    continued = (total[..., None] + values.view(*total.shape, each)).flatten(1)  # (B, K * each)
    best, places = continued.topk(min(count, continued.shape[1]))  # (B, C)
    return best, places // each, tokens.view(len(total), -1).gather(1, places)


def _gather(x: Tensor, places: Tensor) -> Tensor:
    """The hypotheses of `x (B, K, *)` at `places (B, J)`: `(B, J, *)`."""
    if x.ndim == 2:
        return x.gather(1, places)
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def _length_factor(length: int, penalty: float) -> float:
    factor: float = ((5 + length) / 6) ** penalty
    return factor
