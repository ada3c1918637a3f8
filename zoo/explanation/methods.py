"""Methods of attribution: how much each token adds to a score.

All of them work on the embedded tokens, where word embedding, character encoding and imported vectors are joined. A
token is taken away by the zero vector in its place, which is also the embedding of padding.

Shapes: B variants of one text, T tokens, X features of an embedded token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.explanation.question import Question


class Effort(NamedTuple):
    """How exact a method is, and how many variants of a text it computes at once."""

    steps: int
    rows: int


def integrated_gradients(question: Question, effort: Effort) -> Tensor:
    """The integral of the gradient on the straight line from zero vectors to the embeddings, times the embeddings.

    Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks", equation 1. The integral is a sum over
    the midpoints of `steps` equal parts of the line. The attributions add up to the difference of the scores at both
    ends of the line (their proposition 1: completeness).
    """
    x = question.reading.x
    middles = (torch.arange(effort.steps, device=x.device) + 0.5) / effort.steps
    total = torch.zeros_like(x[0])  # (T, X)
    for part in middles.split(effort.rows):
        total += _gradient(question, part[:, None, None] * x).sum(0)
    return (x[0] * total / effort.steps).sum(-1)


def input_x_gradient(question: Question, effort: Effort) -> Tensor:
    """The gradient at the embeddings, times the embeddings (Shrikumar et al. 2016, "Not Just a Black Box")."""
    x = question.reading.x
    return (x * _gradient(question, x))[0].sum(-1)


@torch.no_grad()
def occlusion(question: Question, effort: Effort) -> Tensor:
    """How much the score falls if a zero vector takes the place of a token (Zeiler & Fergus 2014; Li et al. 2016)."""
    x = question.reading.x
    steps = x.shape[1]
    hidden = torch.eye(steps, dtype=torch.bool, device=x.device)  # (T, T)
    scores = [question.score(x.masked_fill(part[..., None], 0.0)) for part in hidden.split(effort.rows)]
    return question.score(x) - torch.cat(scores)


@torch.no_grad()
def attention(question: Question, effort: Effort) -> Tensor:
    """The attention weights of the tokens, which add up to 1. They say what is read, not what it adds to the score.

    Of a word that a model writes in several pieces, it is their mean.

    Raises:
        ZooError: the model has no attention.
    """
    if question.attention is None:
        raise ZooError(
            "attention explains a TextClassifier with pooling='attention' and a Seq2Seq with attention, and this model "
            f"has none: use one of the methods {', '.join(name for name in METHODS if name != 'attention')}"
        )
    return question.attention


METHODS: Mapping[str, Callable[[Question, Effort], Tensor]] = {
    "integrated_gradients": integrated_gradients,
    "input_x_gradient": input_x_gradient,
    "occlusion": occlusion,
    "attention": attention,
}


def _gradient(question: Question, x: Tensor) -> Tensor:
    """The gradient of the score with respect to the embedded tokens of each variant: `(B, T, X)`."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(question.score(x).sum(), x)
    return gradient
