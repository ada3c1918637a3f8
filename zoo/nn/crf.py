"""A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001, "Conditional Random Fields").

The score of tags y for emissions x is the exponent of their equation (1), with one weight for each transition:

    s(x, y) = start[y_1] + sum_t x[t, y_t] + sum_t transition[y_t, y_t+1] + end[y_T],
    p(y | x) = exp(s(x, y) - log Z).

log Z = log sum_y exp s(x, y) is the product of matrices of their section 3, in log space.

Shapes: B rows, T time steps, K tags, n best sequences. Rows are padded on the right to T.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.autograd import ForwardAlgorithm
from zoo.errors import ZooError
from zoo.masks import last, padding_mask, zero_padding
from zoo.text.tag_schemes import Transitions

# The score of a forbidden transition: lower than any emission can offset, and finite when summed. A sum of two of
# `finfo.min` would be -inf, and -inf minus -inf is NaN.
FORBIDDEN = -1e30


class LinearChainCRF(nn.Module):
    """A CRF over the emissions of any encoder. All its scores start at zero, where it is a softmax at each token.

    Scores are computed in fp32 at least, whatever the type of the emissions: there is no matrix product that autocast
    would compute in half precision. All lengths must be at least 1.

    Args:
        num_tags: K.
        transitions: which transitions are legal (see `zoo.text.tag_schemes.transitions`); None for all. They are not
            parameters, so that what is forbidden stays forbidden through training. Gold tags that contain a forbidden
            transition have a log-likelihood of about -1e30.

    Raises:
        ZooError: `transitions` is for another number of tags.
    """

    legal_start: Tensor  # (K,) bool
    legal_end: Tensor  # (K,) bool
    legal_pairs: Tensor  # (K, K) bool

    def __init__(self, num_tags: int, transitions: Transitions | None = None) -> None:
        super().__init__()
        self.num_tags = num_tags
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        # [i, j] is the score of tag i followed by tag j.
        self.transition = nn.Parameter(torch.zeros(num_tags, num_tags))
        for name, shape in (("start", (num_tags,)), ("end", (num_tags,)), ("pairs", (num_tags, num_tags))):
            legal = torch.ones(shape, dtype=torch.bool)
            if transitions is not None:
                legal = torch.tensor(getattr(transitions, name), dtype=torch.bool)
            if legal.shape != shape:
                got = tuple(legal.shape)
                raise ZooError(f"expected transitions.{name} of shape {shape} for {num_tags} tags, got {got}")
            self.register_buffer(f"legal_{name}", legal, persistent=False)

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The log-likelihood of tags.

        Args:
            emissions: `(B, T, K)`, scores in any precision.
            tags: `(B, T)` ids; padding is never read.
            lengths: `(B,)`.

        Returns:
            `(B,)`, in nats.

        Raises:
            ZooError: the emissions are for another number of tags.
        """
        unary, pairwise = self._potentials(emissions, lengths)
        real = padding_mask(lengths, tags.shape[1])  # (B, T)
        tags = tags.masked_fill(~real, 0)
        at_tags = unary.gather(2, tags[..., None]).squeeze(2)  # (B, T), zero at padding
        between = pairwise[tags[:, :-1], tags[:, 1:]].masked_fill(~real[:, 1:], 0.0)  # (B, T-1)
        score = at_tags.sum(1) + between.sum(1)  # (B,)
        return score - _log_partition(unary, pairwise, lengths)

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """The mean negative log-likelihood per token, `()`, over the sequences that the CRF allows.

        A forbidden sequence has probability 0, so nothing can be learned from it. The arguments are those of `forward`.
        """
        log_likelihood: Tensor = self(scores, tags, lengths)  # (B,)
        allowed = self.allows(tags, lengths)  # (B,)
        return -log_likelihood.masked_fill(~allowed, 0.0).sum() / (lengths * allowed).sum().clamp(min=1)

    def allows(self, tags: Tensor, lengths: Tensor) -> Tensor:
        """Whether all transitions of tags are legal: ids `(B, T)` and `lengths (B,)` -> `(B,)` bool."""
        real = padding_mask(lengths, tags.shape[1])  # (B, T)
        tags = tags.masked_fill(~real, 0)
        pairs = self.legal_pairs[tags[:, :-1], tags[:, 1:]] | ~real[:, 1:]  # (B, T-1)
        final_tags = tags.gather(1, lengths[:, None] - 1).squeeze(1)  # (B,)
        return pairs.all(1) & self.legal_start[tags[:, 0]] & self.legal_end[final_tags]

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """log Z: `emissions (B, T, K)` and `lengths (B,)` -> `(B,)`, in nats."""
        unary, pairwise = self._potentials(emissions, lengths)
        return _log_partition(unary, pairwise, lengths)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """p(y_t = k | x): `emissions (B, T, K)` and `lengths (B,)` -> `(B, T, K)`, zeros at padding.

        It is the gradient of log Z with respect to the emissions, which the backward algorithm computes. It has no
        gradient itself.
        """
        # This turns gradients on too.
        with torch.inference_mode(False):
            unary, pairwise = self._potentials(emissions, lengths)
            unary = unary.detach().requires_grad_()
            log_z = _log_partition(unary, pairwise.detach(), lengths)
            (marginals,) = torch.autograd.grad(log_z.sum(), unary)
            return marginals

    @torch.no_grad()
    def decode(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """The best tags (Viterbi): `emissions (B, T, K)` and `lengths (B,)` -> `(B, T)` ids, zeros at padding."""
        unary, pairwise = self._potentials(emissions, lengths)
        # best[t][b, k] is the best score of all tag sequences of steps 0 to t that end in tag k.
        best = [unary[:, 0]]
        for scores in unary.unbind(1)[1:]:
            best.append((best[-1][:, :, None] + pairwise).amax(1) + scores)
        final_step = lengths - 1
        final_tag = last(torch.stack(best, 1), lengths).argmax(1)  # (B,)
        # The previous tag is computed only where the best path goes: there are no pointers, no argmax over (B, K, K).
        transition_to = pairwise.t()
        path = [final_tag]
        for step in range(len(best) - 2, -1, -1):
            previous_tag = (best[step] + transition_to[path[-1]]).argmax(1)  # (B,)
            path.append(torch.where(final_step > step, previous_tag, final_tag))
        return _zero_padding(torch.stack(path[::-1], 1), lengths)

    @torch.no_grad()
    def nbest(self, emissions: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The n best tag sequences, best first.

        Args:
            emissions: `(B, T, K)`.
            lengths: `(B,)`.
            n: how many.

        Returns:
            Tags `(B, n, T)`, zeros at padding, and their log-probabilities `(B, n)` in nats. Where fewer than n legal
            sequences exist, the rest are zeros with log-probability -inf.
        """
        unary, pairwise = self._potentials(emissions, lengths)
        rows, steps, size = unary.shape
        # best[t][b, k] are the n best scores of all tag sequences of steps 0 to t that end in tag k: (B, K, n).
        nowhere = unary.new_full((rows, size, n - 1), -torch.inf)
        best = [torch.cat([unary[:, 0, :, None], nowhere], 2)]
        # pointers[t][b, k * n + r] is where the sequence of rank r comes from, tag * n + rank: (B, K * n).
        pointers: list[Tensor] = []
        for scores in unary.unbind(1)[1:]:
            candidates = best[-1][..., None] + pairwise[:, None]  # (B, K, n, K)
            values, origin = candidates.reshape(rows, size * n, size).topk(n, 1)  # (B, n, K)
            best.append(values.transpose(1, 2) + scores[..., None])
            pointers.append(origin.transpose(1, 2).reshape(rows, size * n))
        final = last(torch.stack(best, 1).view(rows, steps, size * n), lengths)  # (B, K * n)
        scores, at_end = final.topk(n, 1)  # (B, n)
        path = [at_end]
        for step in range(steps - 2, -1, -1):
            before = pointers[step].gather(1, path[-1])  # (B, n)
            path.append(torch.where((lengths - 1 > step)[:, None], before, at_end))
        exists = scores > FORBIDDEN / 2  # (B, n)
        tags = torch.stack(path[::-1], 2) // n  # (B, n, T)
        tags = tags.masked_fill(~exists[..., None], 0)
        log_probability = scores - _log_partition(unary, pairwise, lengths)[:, None]
        return _zero_padding(tags, lengths), log_probability.masked_fill(~exists, -torch.inf)

    def extra_repr(self) -> str:
        return f"num_tags={self.num_tags}"

    def _potentials(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """All scores of a batch: those of tags `(B, T, K)`, start and end included, and those of pairs `(K, K)`."""
        steps, size = emissions.shape[1:]
        if size != self.num_tags:
            got = tuple(emissions.shape)
            raise ZooError(f"expected emissions (B, T, {self.num_tags}) for {self.num_tags} tags, got {got}")
        dtype = torch.promote_types(emissions.dtype, self.transition.dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        time = torch.arange(steps, device=lengths.device)[:, None]  # (T, 1)
        start = torch.where(self.legal_start, self.start.to(dtype), FORBIDDEN)  # (K,)
        end = torch.where(self.legal_end, self.end.to(dtype), FORBIDDEN)  # (K,)
        pairwise = torch.where(self.legal_pairs, self.transition.to(dtype), FORBIDDEN)  # (K, K)
        unary = zero_padding(emissions.to(dtype), padding_mask(lengths, steps))  # (B, T, K)
        unary = torch.where(time == 0, unary + start, unary)
        unary = torch.where(time == lengths[:, None, None] - 1, unary + end, unary)
        return unary, pairwise


def _log_partition(unary: Tensor, pairwise: Tensor, lengths: Tensor) -> Tensor:
    alpha, _ = ForwardAlgorithm.apply(unary, pairwise)  # (B, T, K)
    return last(alpha, lengths).logsumexp(1)


def _zero_padding(tags: Tensor, lengths: Tensor) -> Tensor:
    """Tags `(B, T)` or `(B, n, T)` with zeros at padding."""
    real = padding_mask(lengths, tags.shape[-1])  # (B, T)
    if tags.dim() == 3:
        real = real[:, None]
    return tags.masked_fill(~real, 0)
