"""The loss of each sentence of a tagger, where training needs only the mean over all of them.

Shapes: B sentences, T tokens, K tags.
"""

from __future__ import annotations

from torch import Tensor

from zoo.masks import padding_mask
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.crf import LinearChainCRF


def sentence_losses(crf: LinearChainCRF | None, scores: Tensor, tags: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The negative log-likelihood of the gold tags of each sentence, without label smoothing.

    Tokens whose gold tag is not in the training data do not count; with a CRF, sentences that it forbids do not count.

    Args:
        crf: None for a softmax over the tags of each token.
        scores: `(B, T, K)`.
        tags: gold ids 0..K, of which K stands for all tags that are not in the training data, `(B, T)`.
        lengths: `(B,)`.

    Returns:
        Sums over the tokens of each sentence in nats, `(B,)`, and the number of these tokens, `(B,)`.
    """
    num_tags = scores.shape[-1]
    if crf is not None:
        known = tags.clamp(max=num_tags - 1)
        allowed = crf.allows(known, lengths)  # (B,)
        log_likelihood: Tensor = crf(scores, known, lengths)  # (B,)
        return -log_likelihood.masked_fill(~allowed, 0.0), lengths * allowed
    counted = padding_mask(lengths, tags.shape[1]) & (tags < num_tags)  # (B, T)
    log_probability = at_least_fp32(scores).log_softmax(-1)  # (B, T, K)
    gold = tags.masked_fill(~counted, 0)[..., None]
    of_gold = log_probability.gather(2, gold).squeeze(2).masked_fill(~counted, 0.0)  # (B, T)
    return -of_gold.sum(1), counted.sum(1)
