"""Beam search: the best output, or the best few, over a step function as `zoo.generation.search` describes it.

With a beam of K there are R = B * K rows, those of a sentence side by side, and a source is never copied for them.
The first step has one row for each sentence: nothing is written yet.

Shapes: B sentences, K hypotheses in a beam, R rows, V tokens, L tokens of the longest output, its end included; C
continuations of a sentence that are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.generation.search import IMPOSSIBLE, Hypothesis, Limits, Nested, Step, first_tensor, select


def beam_search(
    step: Step,
    state: Nested,
    source: Nested,
    limits: Limits,
    *,
    beam: int,
    n_best: int = 1,
    length_penalty: float = 0.0,
    coverage_penalty: float = 0.0,
    coverage: Callable[[Nested, Nested], Tensor] | None = None,
    prompt: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """The best outputs among those that stay in a beam of the K most probable beginnings.

    With log-probability p, length l (its end included) and attention a over the source, the score of an output is
    p / ((5 + l) / 6) ** length_penalty + coverage_penalty * sum over the source of log min(1, sum of a)
    (Wu et al. 2016). A sentence leaves the batch when K outputs have ended, or as soon as no unfinished one
    can become one of its `n_best`.

    Args:
        step, state, source, limits, prompt: as in `greedy`; the state still has a row for each sentence.
        beam: K.
        n_best: outputs to return for each sentence, at most K.
        length_penalty: 0 prefers short outputs, 1 is about the mean log-probability of a token.
        coverage_penalty: how much a source that was not attended to costs.
        coverage: of a state and a source, `(R,)`, the sum above; needed for a coverage penalty alone.

    Returns:
        For each sentence its hypotheses, the best first: `n_best`, or as many as the limits allow.
    """
    check_search(beam, n_best, length_penalty, coverage_penalty)
    if coverage_penalty and coverage is None:
        raise ZooError("a coverage penalty needs a model with attention: leave it out")
    first = first_tensor(state)
    sentences = torch.arange(len(first), device=first.device)  # (B,) those that go on
    tokens, given = limits.first(prompt, sentences)  # (R,) and (B, P)
    written = given[:, None]  # (B, K, P + t)
    total = torch.zeros(len(sentences), 1, device=first.device)  # (B, K)
    ended = _Ended.none(total.expand(-1, beam), limits)
    outputs: list[list[Hypothesis]] = [[] for _ in sentences]
    longest = _length_factor(limits.max_length + 1, length_penalty)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        allowed = limits.apply(log_probabilities.float(), written.flatten(0, 1), t)  # (R, V)
        hypotheses = total.shape[1]
        # The best 2K of a sentence are among the best 2K of each hypothesis.
        each = min(2 * beam, allowed.shape[1])
        some, words = allowed.topk(each)  # (R, each)
        continued = (total[..., None] + some.view(*total.shape, each)).flatten(1)  # (B, K * each)
        best, places = continued.topk(min(2 * beam, continued.shape[1]))  # (B, C)
        parents, words = places // each, words.view(len(total), -1).gather(1, places)  # (B, C)
        ends = words == limits.end

        # Of the best K continuations, those that end here are done ...
        final = best.masked_fill(~ends, IMPOSSIBLE)[:, :beam]  # (B, K)
        score = final / _length_factor(t + 1, length_penalty)
        if coverage_penalty:
            score = score + coverage_penalty * coverage(state, source).view_as(total).gather(1, parents[:, :beam])
        new = written[..., given.shape[1] :]  # (B, K, t)
        ended = ended.merge(final, score, _gather(new, parents[:, :beam]), t)
        # ... and the best K that do not end go on, or fewer: each hypothesis ends in one way only.
        others = min(beam, best.shape[1] - hypotheses)
        going = ends.to(torch.uint8).argsort(dim=1, stable=True)[:, :others]  # (B, K)
        total, parents, words = best.gather(1, going), parents.gather(1, going), words.gather(1, going)
        enough = (ended.score[:, -1] > IMPOSSIBLE) | (total[:, 0] / longest <= ended.score[:, n_best - 1])  # (B,)
        if t == limits.max_length:
            enough[:] = True

        written = torch.cat([_gather(written, parents), words[..., None]], dim=-1)
        done = enough.nonzero().squeeze(1)
        for sentence, found in zip(sentences[done].tolist(), ended.hypotheses(done, n_best), strict=True):
            outputs[sentence] = found
        left = (~enough).nonzero().squeeze(1)
        if not len(left):
            break
        rows = left[:, None] * hypotheses + parents[left]  # (B, K)
        state = select(state, rows.flatten())
        if len(left) < len(sentences):
            source, ended = select(source, left), select(ended, left)
            sentences, total, written, words = select((sentences, total, written, words), left)
        tokens = words.flatten()
    return outputs


def check_search(beam: int, n_best: int, length_penalty: float, coverage_penalty: float) -> None:
    """Raises a ZooError unless a beam search can be made with these."""
    if not 1 <= n_best <= beam:
        raise ZooError(f"expected a beam of at least 1 and an n_best from 1 to the beam, got {beam} and {n_best}")
    if not 0 <= min(length_penalty, coverage_penalty):
        raise ZooError(
            "expected penalties of 0 or more, "
            f"got length_penalty={length_penalty} and coverage_penalty={coverage_penalty}"
        )


class _Ended(NamedTuple):
    """The best outputs so far that have ended, best first; a score of -inf is none."""

    log_probability: Tensor  # (B, K)
    score: Tensor  # (B, K)
    tokens: Tensor  # (B, K, L)
    lengths: Tensor  # (B, K)

    @classmethod
    def none(cls, total: Tensor, limits: Limits) -> _Ended:
        nothing, lengths = torch.full_like(total, IMPOSSIBLE), torch.zeros_like(total, dtype=torch.long)
        return cls(nothing, nothing, lengths.new_zeros(*total.shape, limits.max_length), lengths)

    def merge(self, log_probability: Tensor, score: Tensor, written: Tensor, t: int) -> _Ended:
        """With more `(B, C)` that have ended after `written (B, C, t)`: the best of both."""
        beam = self.score.shape[1]
        padded = torch.nn.functional.pad(written, (0, self.tokens.shape[-1] - t))
        more = (log_probability, score, padded, torch.full_like(score, t, dtype=torch.long))
        both = [torch.cat(pair, dim=1) for pair in zip(self, more, strict=True)]
        order = both[1].argsort(dim=1, descending=True, stable=True)[:, :beam]  # (B, K)
        return _Ended(*(_gather(part, order) for part in both))

    def hypotheses(self, sentences: Tensor, n_best: int) -> list[list[Hypothesis]]:
        columns = (self.tokens, self.lengths, self.log_probability, self.score)
        rows = zip(*(column[sentences, :n_best].tolist() for column in columns), strict=True)
        return [
            [Hypothesis(ids[:n], p, s) for ids, n, p, s in zip(*row, strict=True) if s > IMPOSSIBLE] for row in rows
        ]


def _gather(x: Tensor, places: Tensor) -> Tensor:
    """Hypotheses of `x (B, K, *)` at `places (B, J)`: `(B, J, *)`."""
    if x.ndim == 2:
        return x.gather(1, places)
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def _length_factor(length: int, penalty: float) -> float:
    return ((5 + length) / 6) ** penalty
