"""Searching for an output, token by token: greedy, sampling, and beam search.

Nothing here knows a model. It is given a function

    step(tokens (R,), state, source) -> log-probabilities (R, V), state

that reads the token each row wrote last. `state` is what changes from step to step and `source` what is read
again and again: nested tuples of tensors, `(R, *)` in a state and `(B, *)` in a source. With a beam of K there
are R = B * K rows, those of a sentence side by side, and a source is never copied for them.

Shapes: B sentences, K hypotheses in a beam, R rows, V tokens, L tokens of the longest output, its end included.
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


class Hypothesis(NamedTuple):
    """An output and how good it is.

    Attributes:
        tokens: ids, without begin and end.
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
        begin: the token before the first.
        end: the token after the last.
        max_length: tokens at most, the end not counted; there an output has to end.
        min_length: tokens at least, likewise.
        block_ngrams: no sequence of so many tokens occurs twice in an output (Paulus et al. 2018); 0 allows all.
            Where that leaves a row without any token, it may end before `min_length`.

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

    def apply(self, log_probabilities: Tensor, written: Tensor) -> Tensor:
        """`(R, V)` after `written (R, t)`, with -inf for each token that is not allowed there."""
        n, t = self.block_ngrams, written.shape[1]
        allowed = log_probabilities.clone()
        if t >= self.max_length:
            allowed[:] = IMPOSSIBLE
            allowed[:, self.end] = log_probabilities[:, self.end]
            return allowed
        if n and t >= n:
            windows = written.unfold(1, n, 1)  # (R, t - n + 1, n)
            seen = (windows[..., :-1] == written[:, None, t - n + 1 :]).all(-1)  # (R, t - n + 1)
            # Tokens that repeat nothing are "blocked" at the end's place, which is restored below.
            blocked = torch.where(seen, windows[..., -1], self.end)
            allowed.scatter_(1, blocked, IMPOSSIBLE)
        allowed[:, self.end] = log_probabilities[:, self.end]
        if t < self.min_length:
            allowed[:, self.end] = IMPOSSIBLE
            stuck = (allowed == IMPOSSIBLE).all(1)
            allowed[:, self.end] = torch.where(stuck, log_probabilities[:, self.end], IMPOSSIBLE)
        return allowed


def greedy(step: Step, state: Nested, source: Nested, limits: Limits) -> list[Hypothesis]:
    """The most probable token at each step.

    Args:
        step: the model, as described above.
        state: before the first step, `(B, *)`, at least one tensor.
        source: `(B, *)`.
        limits: lengths, repetition, and the tokens of begin and end.

    Returns:
        A hypothesis for each sentence; its score is its log-probability.
    """
    return _write(step, state, source, limits, lambda allowed, rows, t: allowed.argmax(-1))


def sample(
    step: Step,
    state: Nested,
    source: Nested,
    limits: Limits,
    *,
    noise: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> list[Hypothesis]:
    """Tokens drawn from the model's distribution. A sentence's output depends on its own noise alone.

    Args:
        step, state, source, limits: as in `greedy`.
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

    return _write(step, state, source, limits, draw)


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
) -> list[list[Hypothesis]]:
    """The best outputs among those that stay in a beam of the K most probable beginnings.

    With log-probability p, length l (its end included) and attention a over the source, the score of an output is
    p / ((5 + l) / 6) ** length_penalty + coverage_penalty * sum over the source of log min(1, sum of a)
    (Wu et al. 2016). A sentence leaves the batch when K outputs have ended, or as soon as no unfinished one
    can become one of its `n_best`.

    Args:
        step, state, source, limits: as in `greedy`; the state still has a row for each sentence.
        beam: K.
        n_best: outputs to return for each sentence, at most K.
        length_penalty: 0 prefers short outputs, 1 is about the mean log-probability of a token.
        coverage_penalty: how much a source that was not attended to costs.
        coverage: of a state and a source, `(R,)`, the sum above; needed for a coverage penalty alone.

    Returns:
        For each sentence its hypotheses, the best first: `n_best`, or as many as the limits allow.
    """
    if not 1 <= n_best <= beam:
        raise ZooError(f"expected a beam of at least 1 and an n_best from 1 to the beam, got {beam} and {n_best}")
    if min(length_penalty, coverage_penalty) < 0 or (coverage_penalty and coverage is None):
        raise ZooError(
            "expected penalties of 0 or more, and a model with attention where coverage counts, "
            f"got length_penalty={length_penalty} and coverage_penalty={coverage_penalty}"
        )
    first = _leaf(state)
    sentences = torch.arange(len(first), device=first.device)  # (B,) those that go on
    hypotheses = torch.arange(beam, device=first.device)  # (K,)
    state = select(state, sentences.repeat_interleave(beam))
    tokens = torch.full_like(sentences, limits.begin).repeat_interleave(beam)  # (R,)
    written = tokens.new_empty(len(sentences), beam, 0)  # (B, K, t)
    total = torch.where(hypotheses == 0, 0.0, IMPOSSIBLE).repeat(len(sentences), 1)  # (B, K), at first all alike
    ended = _Ended.none(total, limits)
    outputs: list[list[Hypothesis]] = [[] for _ in sentences]
    longest = _length_factor(limits.max_length + 1, length_penalty)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        allowed = limits.apply(log_probabilities.float(), written.flatten(0, 1)).view(*total.shape, -1)  # (B, K, V)
        best, places = (total[..., None] + allowed).flatten(1).topk(2 * beam)  # (B, 2K)
        parents, words = places // allowed.shape[-1], places % allowed.shape[-1]  # (B, 2K)
        ends = words == limits.end

        # Of the best K continuations, those that end here are done ...
        final = best.masked_fill(~ends, IMPOSSIBLE)[:, :beam]  # (B, K)
        score = final / _length_factor(t + 1, length_penalty)
        if coverage_penalty:
            score = score + coverage_penalty * coverage(state, source).view_as(total).gather(1, parents[:, :beam])
        ended = ended.merge(final, score, _gather(written, parents[:, :beam]), t)
        # ... and the best K that do not end go on: there are as many, since each hypothesis ends in one way only.
        going = ends.to(torch.uint8).argsort(dim=1, stable=True)[:, :beam]  # (B, K)
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
        rows = left[:, None] * beam + parents[left]  # (B, K)
        state = select(state, rows.flatten())
        if len(left) < len(sentences):
            source, ended = select(source, left), select(ended, left)
            sentences, total, written, words = select((sentences, total, written, words), left)
        tokens = words.flatten()
    return outputs


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
        """With more `(B, K)` that have ended after `written (B, K, t)`: the best of both."""
        beam = score.shape[1]
        padded = torch.nn.functional.pad(written, (0, self.tokens.shape[-1] - t))
        more = (log_probability, score, padded, torch.full_like(self.lengths, t))
        both = [torch.cat(pair, dim=1) for pair in zip(self, more, strict=True)]
        order = both[1].argsort(dim=1, descending=True, stable=True)[:, :beam]  # (B, K)
        return _Ended(*(_gather(part, order) for part in both))

    def hypotheses(self, sentences: Tensor, n_best: int) -> list[list[Hypothesis]]:
        columns = (self.tokens, self.lengths, self.log_probability, self.score)
        rows = zip(*(column[sentences, :n_best].tolist() for column in columns), strict=True)
        return [
            [Hypothesis(ids[:n], p, s) for ids, n, p, s in zip(*row, strict=True) if s > IMPOSSIBLE] for row in rows
        ]


def _write(step: Step, state: Nested, source: Nested, limits: Limits, choose) -> list[Hypothesis]:
    """One output for each sentence; `choose(allowed (R, V), sentences (R,), t)` gives the next tokens `(R,)`."""
    first = _leaf(state)
    rows = torch.arange(len(first), device=first.device)  # (R,) sentences that go on
    tokens = torch.full_like(rows, limits.begin)
    written = tokens.new_empty(len(rows), 0)  # (R, t)
    total = torch.zeros(len(rows), device=first.device)  # (R,)
    outputs: list[Hypothesis | None] = [None] * len(rows)
    for t in range(limits.max_length + 1):
        log_probabilities, state = step(tokens, state, source)  # (R, V)
        log_probabilities = log_probabilities.float()
        tokens = choose(limits.apply(log_probabilities, written), rows, t)
        total = total + log_probabilities.gather(1, tokens[:, None]).squeeze(1)
        ended = tokens == limits.end
        done, left = ended.nonzero().squeeze(1), (~ended).nonzero().squeeze(1)
        for row, ids, score in zip(*(part[done].tolist() for part in (rows, written, total)), strict=True):
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


def _leaf(parts: Nested) -> Tensor:
    return _leaf(parts[0]) if isinstance(parts, tuple) else parts


def _gather(x: Tensor, places: Tensor) -> Tensor:
    """Hypotheses of `x (B, K, *)` at `places (B, J)`: `(B, J, *)`."""
    if x.ndim == 2:
        return x.gather(1, places)
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def _length_factor(length: int, penalty: float) -> float:
    return ((5 + length) / 6) ** penalty
