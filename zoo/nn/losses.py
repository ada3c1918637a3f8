"""Losses: labels, tokens of a large vocabulary, language modeling and adversarial training.

Shapes: B rows, T tokens, N tokens that are predicted, V words, S sampled words, K labels, E features of a word
embedding, H hidden units, D directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.autograd import TokenLogProbability
from zoo.errors import ZooError
from zoo.masks import padding_mask

# Vocabularies up to this size are scored in full. For a larger one, each batch scores a sample of it.
FULL_SOFTMAX_WORDS = 4000
# Every sample contains this many of the most frequent words.
ALWAYS_SAMPLED_WORDS = 500


def check_class_weights(weights: Sequence[float], num_labels: int) -> None:
    """Raises a ZooError unless the weights are empty or one number above 0 for each label."""
    are_positive = all(isinstance(weight, int | float) and 0 < weight < math.inf for weight in weights)
    if not are_positive or len(weights) not in (0, num_labels):
        raise ZooError(f"expected a class weight above 0 for each of {num_labels} labels, got {list(weights)}")


def label_loss(
    scores: Tensor, gold: Tensor, *, class_weights: Tensor | None, label_smoothing: float, multi_label: bool
) -> Tensor:
    """Mean cross-entropy per text; if a text may have several labels, mean binary cross-entropy per label.

    Args:
        scores: `(B, K)`.
        gold: the label of each text `(B,)`; with `multi_label` `(B, K)`, 1 for each label that a text has.
        class_weights: `(K,)`, the weight of each label; with `multi_label`, that of having it. None for equal weights.
        label_smoothing: the fraction of the probability that is spread over all labels.
        multi_label: whether a text may have several labels.
    """
    # A Trainer with true half or double precision converts these weights and the gold labels too.
    weights = None if class_weights is None else class_weights.to(scores.dtype)  # (K,)
    if not multi_label:
        return F.cross_entropy(scores, gold, weights, label_smoothing=label_smoothing)
    gold = gold.to(scores.dtype)  # (B, K)
    gold = gold.lerp(torch.full_like(gold, 0.5), label_smoothing)
    return F.binary_cross_entropy_with_logits(scores, gold, pos_weight=weights)


class WriterLosses(NamedTuple):
    """The losses of a model that writes: means over all N target tokens, including the end of each text."""

    nll: Tensor  # negative log-likelihood; its exponential is the perplexity
    smoothed: Tensor  # the negative log-likelihood with label smoothing
    coverage: Tensor  # the coverage loss: repeated attention to the same source positions
    log_probability: Tensor  # (N,), of each target token

    @classmethod
    def of(
        cls, log_probability: Tensor, mean_of_words: Tensor, overlap: Tensor, *, label_smoothing: float
    ) -> WriterLosses:
        """The losses of N tokens.

        Args:
            log_probability: of each token, `(N,)`.
            mean_of_words: the mean of the log-probabilities of all words in the place of each token, `(N,)`.
            overlap: the attention to source positions that earlier steps have attended to, `(N,)`.
            label_smoothing: the fraction of the probability that is spread over all words.
        """
        nll = -log_probability.mean()
        smoothed = (1 - label_smoothing) * nll - label_smoothing * mean_of_words.mean()
        return cls(nll, smoothed, overlap.mean(), log_probability)


def token_log_probability(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of a log-softmax that a cross-entropy needs, without a second matrix `(N, V)` in fp32.

    Args:
        scores: `(N, V)`, in any precision; they are normalised in fp32.
        target: `(N,)`, word ids.

    Returns:
        The log-probability of each target in nats, `(N,)` fp32, and the mean of the log-probabilities of all words,
        `(N,)` fp32, for label smoothing.
    """
    log_probability, mean_log_probability, _ = TokenLogProbability.apply(scores, target)
    return log_probability, mean_log_probability


class LanguageModelingLoss(nn.Module):
    """Language modeling as a second task of a tagger (Rei 2017, "Semi-supervised Multitask Learning").

    From each token, the forward direction predicts the next word and the backward direction the previous word. The
    backbone must have one layer: above a bidirectional first layer, both directions have read the answer.

    The output layer is the word embedding (Inan et al. 2017), so that this task trains the embedding too. Scoring all
    words of a large vocabulary would take most of the training time. There the softmax is estimated from a sample of
    the words (importance sampling, Bengio & Senécal 2008): each word is drawn with a probability of its own, and what
    it adds to the sum is divided by that probability, so that the sum is right in expectation.

    Args:
        hidden_size: H.
        num_words: V; the most frequent words have the lowest ids.
        word_size: E.
        bidirectional: whether there is a backward direction.
    """

    def __init__(self, hidden_size: int, num_words: int, word_size: int, *, bidirectional: bool):
        super().__init__()
        self.next = nn.Linear(hidden_size, word_size)
        self.previous = nn.Linear(hidden_size, word_size) if bidirectional else None
        self.bias = nn.Parameter(torch.zeros(num_words))

    def forward(self, sequence: Tensor, word_ids: Tensor, lengths: Tensor, embedding: Tensor) -> Tensor:
        """The negative log-likelihood of all neighbouring words in nats, `()`, as the mean over the directions.

        Like the losses of Rei's equation 6 it is a sum. A mean over the neighbours of a batch would not weight them as
        a mean over all batches of an optimizer step does.

        Args:
            sequence: `(B, T, D * H)`, the outputs of one recurrent layer.
            word_ids: `(B, T)`.
            lengths: `(B,)`, tokens.
            embedding: `(V, E)`, the word embedding.
        """
        pairs = padding_mask(lengths, word_ids.shape[1])[:, 1:]  # (B, T - 1): both words are real
        if self.previous is None:
            forward = sequence
        else:
            forward, backward = sequence.chunk(2, dim=-1)  # (B, T, H) each
        predicted = [self.next(forward[:, :-1][pairs])]
        target = [word_ids[:, 1:][pairs]]
        if self.previous is not None:
            predicted.append(self.previous(backward[:, 1:][pairs]))
            target.append(word_ids[:, :-1][pairs])
        log_probability = self._log_probability(torch.cat(predicted).tanh(), torch.cat(target), embedding)  # (N,)
        return -log_probability.sum() / len(target)

    def _log_probability(self, predicted: Tensor, target: Tensor, embedding: Tensor) -> Tensor:
        """The log-probability of `target (N,)` under the predicted embeddings `(N, E)` -> `(N,)`."""
        if len(self.bias) <= FULL_SOFTMAX_WORDS:
            scores = F.linear(predicted, embedding, self.bias)  # (N, V)
        else:
            rank = torch.arange(1, len(self.bias) + 1, device=self.bias.device)
            probability = (ALWAYS_SAMPLED_WORDS / rank).clamp(max=1.0)  # (V,) of being drawn
            probability[target] = 1.0
            sample = (torch.rand_like(probability) < probability).nonzero().squeeze(1)  # (S,), ascending
            bias = self.bias[sample] - probability[sample].log()  # (S,)
            scores = F.linear(predicted, embedding[sample], bias)  # (N, S)
            target = torch.searchsorted(sample, target)
        log_probability, _ = token_log_probability(scores, target)
        return log_probability

    def extra_repr(self) -> str:
        return f"num_words={len(self.bias)}"


def ensure_gradient(embedded: Tensor) -> Tensor:
    """Embeddings that require a gradient, which `adversarial_perturbation` needs, even if they are not trained."""
    return embedded if embedded.requires_grad else embedded.detach().requires_grad_()


def adversarial_mean(loss: Tensor, embedded: Tensor, epsilon: float, loss_of: Callable[[Tensor], Tensor]) -> Tensor:
    """The mean of a loss, and of the loss after the perturbation of the embeddings that increases it most.

    Args:
        loss: `loss_of(embedded)`.
        embedded: embeddings `(B, *, E)` that require a gradient.
        epsilon: the norm of the perturbation of each row, as a fraction of its norm.
        loss_of: the loss for embeddings.
    """
    perturbed = embedded + adversarial_perturbation(loss, embedded, epsilon, per_row=True)
    return (loss + loss_of(perturbed)) / 2


def adversarial_perturbation(loss: Tensor, embedded: Tensor, epsilon: float, *, per_row: bool = False) -> Tensor:
    """The perturbation of embeddings that increases a loss most (Miyato et al. 2017, eq. 5 and 6).

    It is `epsilon * |embedded| * gradient / |gradient|`, the paper's perturbation relative to the embeddings' norm.

    Args:
        loss: a scalar computed from `embedded`; its graph is kept for the backward pass.
        embedded: embeddings `(*, E)` that require a gradient; see `ensure_gradient`.
        epsilon: the norm of the perturbation as a fraction of the embeddings' norm.
        per_row: whether the norms are computed for each row of the first dimension, which is then a text.

    Returns:
        The perturbation without gradient, in the shape and type of `embedded`. It is zero where the loss does not
        depend on the embeddings.
    """
    (gradient,) = torch.autograd.grad(loss, embedded, retain_graph=True)
    dims = tuple(range(1, embedded.ndim)) if per_row else None
    length = embedded.detach().norm(dim=dims, keepdim=True)
    # In fp16, the norm of a small gradient would be 0.
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    direction = gradient / gradient.norm(dim=dims, keepdim=True).clamp(min=1e-12)
    perturbation: Tensor = epsilon * (direction * length).to(embedded.dtype).detach()
    return perturbation
