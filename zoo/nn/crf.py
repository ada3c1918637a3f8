"""A linear-chain conditional random field: Lafferty, McCallum and Pereira, 2001, "Conditional Random Fields".

The score of tags y for emissions x is the exponent of their equation (1) with one weight a transition,

    s(x, y) = start[y_1] + sum_t x[t, y_t] + sum_t transition[y_t, y_t+1] + end[y_T],
    p(y | x) = exp(s(x, y) - log Z).

log Z = log sum_y exp s(x, y) is what the product of matrices of their section 3 comes to, here in log space.

Shapes: B rows, T time steps, K tags, n best sequences. Rows are padded on the right to T.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.autograd import ForwardAlgorithm
from zoo.errors import ZooError
from zoo.masks import last, padding_mask, zero_padding
from zoo.text.tag_schemes import Transitions

# What is forbidden scores this. No emission outshouts it, and a sum of many does not overflow to -inf, as two
# of finfo.min would: -inf minus -inf is the NaN that this avoids.
FORBIDDEN = -1e30


class LinearChainCRF(nn.Module):
    """A CRF over emissions that any encoder made. At zero, as it starts, it is a softmax at each token.

    Scores are computed in float32 or better, whatever comes in: with no matrix product among its operations,
    autocast finds nothing here to lower. All lengths are at least 1.

    Args:
        num_tags: K.
        transitions: what is legal (see `zoo.text.tag_schemes.transitions`); all is, if None. The rest is outside of the
            parameters and stays forbidden through training: gold tags that break it get a log-likelihood
            of about -1e30.

    Raises:
        ValueError: `transitions` is of another number of tags.
    """

    def __init__(self, num_tags: int, transitions: Transitions | None = None) -> None:
        super().__init__()
        self.num_tags = num_tags
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        self.transition = nn.Parameter(torch.zeros(num_tags, num_tags))  # [i, j]: tag i, then tag j
        for name, shape in (("start", (num_tags,)), ("end", (num_tags,)), ("pairs", (num_tags, num_tags))):
            legal = torch.ones(shape, dtype=torch.bool)
            if transitions is not None:
                legal = torch.tensor(getattr(transitions, name), dtype=torch.bool)
            if legal.shape != shape:
                found = f"got {tuple(legal.shape)}"
                raise ZooError(f"expected transitions.{name} of shape {shape} for {num_tags} tags, {found}")
            self.register_buffer(f"legal_{name}", legal, persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Log-likelihood in nats of `tags (B, T)` given `emissions (B, T, K)`, `lengths (B,)` -> `(B,)`."""
        unary, pairwise = self._potentials(emissions, lengths)
        real = padding_mask(lengths, tags.shape[1])  # (B, T)
        tags = tags.masked_fill(~real, 0)
        at_tags = unary.gather(2, tags[..., None]).squeeze(2)  # (B, T), zero at padding
        between = pairwise[tags[:, :-1], tags[:, 1:]].masked_fill(~real[:, 1:], 0.0)  # (B, T-1)
        score = at_tags.sum(1) + between.sum(1)  # (B,)
        return score - _log_partition(unary, pairwise, lengths)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """log Z of `emissions (B, T, K)`, `lengths (B,)` -> `(B,)`."""
        return _log_partition(*self._potentials(emissions, lengths), lengths)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """p(y_t = k | x) -> `(B, T, K)`, zero at padding; not differentiable.

        It is the gradient of log Z by the emissions, so the backward pass is the backward algorithm.
        """
        with torch.inference_mode(False):  # which turns gradients on, too
            unary, pairwise = (scores.detach() for scores in self._potentials(emissions, lengths))
            unary.requires_grad_()
            return torch.autograd.grad(_log_partition(unary, pairwise, lengths).sum(), unary)[0]

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The best tags (Viterbi) for `emissions (B, T, K)`, `lengths (B,)` -> `(B, T)`, zero at padding."""
        unary, pairwise = self._potentials(emissions, lengths)
        best = [unary[:, 0]]  # best[t] (B, K): the best score of tags 0..t that end in each tag
        for scores in unary.unbind(1)[1:]:
            best.append((best[-1][:, :, None] + pairwise).amax(1) + scores)
        final = lengths - 1
        at_end = last(torch.stack(best, 1), lengths).argmax(1)  # (B,)
        # Which tag came before is asked only where the best path went: no pointers, no argmax over (B, K, K).
        into = pairwise.t()
        path = [at_end]
        for step in range(len(best) - 2, -1, -1):
            before = (best[step] + into[path[-1]]).argmax(1)
            path.append(torch.where(final > step, before, at_end))
        return _masked(torch.stack(path[::-1], 1), lengths)

    @torch.no_grad()
    def nbest(self, emissions: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The n best tag sequences, best first.

        Returns:
            tags `(B, n, T)`, zero at padding, and their log-probabilities `(B, n)`. Where fewer than n legal
            sequences exist, the rest are zeros with log-probability -inf.
        """
        unary, pairwise = self._potentials(emissions, lengths)
        rows, steps, size = unary.shape
        nowhere = unary.new_full((rows, size, n - 1), -torch.inf)
        best = [torch.cat([unary[:, 0, :, None], nowhere], 2)]  # (B, K, n): the n best that end in each tag
        pointers = []  # (B, K, n): from which (tag, rank), flattened
        for scores in unary.unbind(1)[1:]:
            candidates = best[-1][..., None] + pairwise[:, None]  # (B, K, n, K)
            values, origin = candidates.reshape(rows, size * n, size).topk(n, 1)  # (B, n, K)
            best.append(values.transpose(1, 2) + scores[..., None])
            pointers.append(origin.transpose(1, 2).reshape(rows, size * n))
        final = last(torch.stack(best, 1).view(rows, steps, size * n), lengths)  # (B, K*n)
        scores, at_end = final.topk(n, 1)  # (B, n)
        path = [at_end]
        for step in range(steps - 2, -1, -1):
            before = pointers[step].gather(1, path[-1])
            path.append(torch.where((lengths - 1 > step)[:, None], before, at_end))
        exists = scores > FORBIDDEN / 2  # (B, n)
        tags = torch.stack(path[::-1], 2) // n * exists[..., None]  # (B, n, T)
        log_probability = scores - _log_partition(unary, pairwise, lengths)[:, None]
        return _masked(tags, lengths), log_probability.masked_fill(~exists, -torch.inf)

    def _potentials(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """All scores of a batch: `(B, T, K)` of single tags, start and end included; `(K, K)` of pairs."""
        steps, size = emissions.shape[1:]
        if size != self.num_tags:
            found = tuple(emissions.shape)
            raise ZooError(f"expected emissions (B, T, {self.num_tags}) for {self.num_tags} tags, got {found}")
        dtype = torch.promote_types(emissions.dtype, self.transition.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        time = torch.arange(steps, device=lengths.device)[:, None]  # (T, 1)
        start = torch.where(self.legal_start, self.start.to(dtype), FORBIDDEN)
        end = torch.where(self.legal_end, self.end.to(dtype), FORBIDDEN)
        pairwise = torch.where(self.legal_pairs, self.transition.to(dtype), FORBIDDEN)
        unary = zero_padding(emissions.to(dtype), padding_mask(lengths, steps))
        unary = torch.where(time == 0, unary + start, unary)
        unary = torch.where(time == lengths[:, None, None] - 1, unary + end, unary)
        return unary, pairwise


def _log_partition(unary: Tensor, pairwise: Tensor, lengths: Tensor) -> Tensor:
    alpha, _ = ForwardAlgorithm.apply(unary, pairwise)  # (B, T, K)
    return last(alpha, lengths).logsumexp(1)


def _masked(tags: Tensor, lengths: Tensor) -> Tensor:
    real = padding_mask(lengths, tags.shape[-1])  # (B, T)
    return tags * (real if tags.dim() == 2 else real[:, None])
