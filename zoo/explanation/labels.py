"""Questions about the label of a text, and about the tag of a token.

Shapes: B variants of one text, T tokens, X features of an embedded token, K labels or tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.errors import unknown_name
from zoo.explanation.question import Asked, Question, check_position
from zoo.explanation.reading import Reading
from zoo.models.classifier import TextClassifier
from zoo.models.tagger import SequenceTagger
from zoo.nn.cells.precision import at_least_fp32
from zoo.nn.crf import FORBIDDEN, LinearChainCRF


def ask_classifier(model: TextClassifier, readings: Sequence[Reading], asked: Asked) -> Question:
    """Asks for the log-odds of a label, by default of the most probable one."""
    (reading,) = readings
    codec = model.codec

    def scores(vectors: Tensor) -> Tensor:
        return at_least_fp32(model.score(vectors)) / model.temperature  # (B, K)

    pooled = model.pool(reading.x, reading.lengths)
    index = _index(asked.target, codec.labels, "label", scores(pooled.vectors)[0])

    def score(x: Tensor) -> Tensor:
        found = scores(model.pool(x, reading.lengths.expand(len(x))).vectors)
        return found[:, index] if codec.multi_label else log_odds(found, index)

    weights = None if pooled.weights is None else pooled.weights[0]  # (T,)
    return Question(reading, score, codec.labels[index], attention=weights)


def ask_tagger(model: SequenceTagger, readings: Sequence[Reading], asked: Asked) -> Question:
    """Asks for the log-odds of a tag at a position, by default of the one that the model predicts there.

    With a CRF, the probability of a tag is the marginal one: of all sequences of tags that have it there. Each sentence
    is tagged by itself, so the tokens are those of the sentence with the position.
    """
    tokens = [token for reading in readings for token in reading.tokens]
    position = check_position(asked.position, tokens, "token")
    for reading in readings:
        if position < len(reading.tokens):
            break
        position -= len(reading.tokens)

    def emissions(x: Tensor) -> Tensor:
        scores: Tensor = model.head(model.read(x, reading.lengths.expand(len(x))))
        return scores  # (B, T, K)

    found = emissions(reading.x)
    crf = None if asked.emission else model.crf
    best_ids = found.argmax(-1) if crf is None else model.decode(found, reading.lengths)  # (1, T)
    best = torch.nn.functional.one_hot(best_ids[0, position], found.shape[-1])
    index = _index(asked.target, model.codec.tags, "tag", best)

    def score(x: Tensor) -> Tensor:
        if crf is None:
            return log_odds(emissions(x)[:, position], index)
        return marginal_log_odds(crf, emissions(x), position, index)

    return Question(reading, score, model.codec.tags[index], position=position)


def log_odds(scores: Tensor, index: int) -> Tensor:
    """log p / (1 - p) of the entry at `index` of a softmax over `scores (B, K)`: `(B,)`.

    With two labels it is the difference of their scores. It does not saturate where p is near 1.
    """
    scores = at_least_fp32(scores)
    others = torch.cat([scores[:, :index], scores[:, index + 1 :]], dim=1)  # (B, K - 1)
    return scores[:, index] - others.logsumexp(1)


def marginal_log_odds(crf: LinearChainCRF, emissions: Tensor, position: int, tag: int) -> Tensor:
    """log p(y_t = k | x) / p(y_t != k | x) of tag k at position t: `emissions (B, T, K)` -> `(B,)`.

    Both are sums over the sequences of tags with and without k at t, each the log Z of emissions that forbid the rest.
    """
    rows, steps, size = emissions.shape
    lengths = torch.full((rows,), steps, device=emissions.device)
    is_tag = torch.arange(size, device=emissions.device) == tag  # (K,)
    at_position = torch.arange(steps, device=emissions.device)[:, None] == position  # (T, 1)
    emissions = at_least_fp32(emissions)
    with_tag = emissions.masked_fill(at_position & ~is_tag, FORBIDDEN)
    without_tag = emissions.masked_fill(at_position & is_tag, FORBIDDEN)
    return crf.log_partition(with_tag, lengths) - crf.log_partition(without_tag, lengths)


def _index(target: str | None, names: Sequence[str], kind: str, scores: Tensor) -> int:
    """The id of the target among the names, or of the name with the highest of the scores `(K,)`.

    Raises:
        ZooError: the target is none of the names, which are listed.
    """
    if target is None:
        return int(scores.argmax())
    if target not in names:
        raise unknown_name(kind, target, names)
    return list(names).index(target)
